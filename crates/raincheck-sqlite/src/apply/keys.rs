//! API keys: made, listed, revoked, and noted as used.

use raincheck_core::decide;
use raincheck_core::id::JobId;
use raincheck_core::key::{ApiKey, Grants, KeyDigest, KeyId, KeyRefused, NewKey};
use raincheck_core::name::{KeyName, Namespace};
use raincheck_core::secret::Secret;
use raincheck_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::secrets::one_secret;
use crate::row::{self, QueueNames};
use crate::sum;
use crate::tx::Tx;
use crate::vault::Place;

/// What keys are hashed with; `fresh` becomes it where there is nothing.
pub(crate) fn pepper(tx: &Tx<'_>, fresh: &Secret) -> rusqlite::Result<Secret> {
    one_secret(tx, Place::KeyPepper, "key_pepper", fresh)
}

/// Makes a key.
pub(crate) fn create(
    tx: &Tx<'_>,
    ns: &Namespace,
    new: &NewKey,
) -> rusqlite::Result<Result<ApiKey, KeyRefused>> {
    let all = all(tx.conn)?;
    let key = match decide::create_key(new.clone(), ns, &all, tx.now) {
        Ok(key) => key,
        Err(refused) => return Ok(Err(refused)),
    };
    let queues: Vec<_> = key.grants.queues.iter().map(|glob| glob.as_str()).collect();
    tx.conn
        .prepare_cached(
            "INSERT INTO api_keys (id, namespace, name, scopes, queues, created_at, expires_at, digest, sum) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, row_sum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8))",
        )?
        .execute(params![
            key.id.as_str(),
            ns.as_str(),
            key.name.as_str(),
            key.grants.scopes.to_string(),
            queues.join(" "),
            key.created_at.as_millis(),
            key.expires_at.map(Timestamp::as_millis),
            key.digest.as_bytes(),
        ])?;
    Ok(Ok(key))
}

/// All keys, the oldest first.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<Vec<ApiKey>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT id, namespace, name, scopes, queues, created_at, expires_at, used_at, digest, ",
        sum::is_whole!(api_keys),
        " FROM api_keys ORDER BY n"
    ))?;
    select.query_map([], read)?.collect()
}

/// The namespace's keys, the oldest first.
pub(crate) fn of(conn: &Connection, ns: &Namespace) -> rusqlite::Result<Vec<ApiKey>> {
    let mut keys = all(conn)?;
    keys.retain(|key| key.namespace == *ns);
    Ok(keys)
}

/// Forgets a key.
pub(crate) fn revoke(tx: &Tx<'_>, ns: &Namespace, id: KeyId) -> rusqlite::Result<Result<(), KeyRefused>> {
    if let Err(refused) = decide::revoke_key(id, ns, &all(tx.conn)?, tx.now) {
        return Ok(Err(refused));
    }
    tx.conn
        .prepare_cached("DELETE FROM api_keys WHERE id = ?1")?
        .execute([id.as_str()])?;
    Ok(Ok(()))
}

/// Notes when keys were used.
pub(crate) fn touch(tx: &Tx<'_>, used: &[(KeyId, Timestamp)]) -> rusqlite::Result<()> {
    let mut update = tx
        .conn
        .prepare_cached("UPDATE api_keys SET used_at = max(coalesce(used_at, ?2), ?2) WHERE id = ?1")?;
    for (id, at) in used {
        update.execute(params![id.as_str(), at.as_millis()])?;
    }
    Ok(())
}

/// Whose a job is, or was.
pub(crate) fn home(conn: &Connection, names: &QueueNames, id: JobId) -> rusqlite::Result<Option<Namespace>> {
    let mut select = conn.prepare_cached("SELECT queue FROM jobs WHERE seq = ?1 AND tail = ?2")?;
    let queue = select
        .query_row(params![row::key(id), id.tail().cast_signed()], |row| row.get(0))
        .optional()?;
    Ok(queue
        .and_then(|queue| names.get(&queue))
        .map(|(ns, _)| ns.clone()))
}

fn read(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    sum::whole(row, 9, "an API key")?;
    let queues: String = row.get(4)?;
    let globs = queues.split_ascii_whitespace().map(str::parse);
    Ok(ApiKey {
        id: parsed(row, 0)?,
        namespace: parsed(row, 1)?,
        name: KeyName::new(&row.get::<_, String>(2)?).map_err(|error| unreadable(2, error))?,
        grants: Grants {
            scopes: parsed(row, 3)?,
            queues: globs
                .collect::<Result<_, _>>()
                .map_err(|error| unreadable(4, error))?,
        },
        created_at: Timestamp::from_millis(row.get(5)?),
        expires_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
        last_used_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
        digest: KeyDigest::new(row.get(8)?),
    })
}

pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
