//! What a namespace signs with.

use raincheck_core::decide;
use raincheck_core::name::Namespace;
use raincheck_core::secret::{Former, Secret, SigningSecrets};
use raincheck_core::time::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::sum;
use crate::tx::Tx;
use crate::vault::{Kept, Place};

/// The namespace's secrets; `fresh` becomes the first where there are none.
pub(crate) fn get(tx: &Tx<'_>, ns: &Namespace, fresh: &Secret) -> rusqlite::Result<SigningSecrets> {
    if let Some(kept) = read(tx, ns)? {
        return Ok(kept);
    }
    let first = decide::first_secret(fresh.clone(), tx.now);
    write(tx, ns, &first)?;
    Ok(first)
}

/// Makes `fresh` the namespace's secret.
pub(crate) fn rotate(tx: &Tx<'_>, ns: &Namespace, fresh: &Secret) -> rusqlite::Result<SigningSecrets> {
    let next = match read(tx, ns)? {
        Some(kept) => decide::rotate_secret(&kept, fresh.clone(), tx.now),
        None => decide::first_secret(fresh.clone(), tx.now),
    };
    write(tx, ns, &next)?;
    Ok(next)
}

/// The key of tickets; `fresh` becomes it where there is none.
pub(crate) fn ticket_key(tx: &Tx<'_>, fresh: &Secret) -> rusqlite::Result<Secret> {
    one_secret(tx, Place::TicketKey, "ticket_key", fresh)
}

/// The secret of a table that has one; `fresh` becomes it where there is none.
pub(super) fn one_secret(
    tx: &Tx<'_>,
    place: Place<'_>,
    table: &str,
    fresh: &Secret,
) -> rusqlite::Result<Secret> {
    let whole = sum::is_whole!(one_secret);
    let sql = format!("SELECT secret, sealed_by, {whole} FROM {table} WHERE id = 1");
    let mut select = tx.conn.prepare_cached(&sql)?;
    let kept = select.query_row([], |row| {
        sum::whole(row, 2, "a secret")?;
        Kept::read(row, 0)
    });
    let kept = kept.optional()?;
    if let Some(kept) = kept {
        return tx.sealer.open(place, &kept);
    }
    let kept = tx.sealer.seal(place, fresh);
    let sql = format!("INSERT INTO {table} (id, secret, sealed_by, sum) VALUES (1, ?1, ?2, row_sum(?1, ?2))");
    tx.conn
        .prepare_cached(&sql)?
        .execute(params![kept.bytes, kept.sealed_by])?;
    Ok(fresh.clone())
}

fn read(tx: &Tx<'_>, ns: &Namespace) -> rusqlite::Result<Option<SigningSecrets>> {
    // They were written in their order.
    let mut select = tx.conn.prepare_cached(concat!(
        "SELECT secret, sealed_by, since, until, ",
        sum::is_whole!(signing_secrets),
        " FROM signing_secrets WHERE namespace = ?1 ORDER BY rowid"
    ))?;
    let mut rows = select.query([ns.as_str()])?;
    let (mut current, mut former) = (None, Vec::new());
    while let Some(row) = rows.next()? {
        sum::whole(row, 4, "a signing secret")?;
        let (since, until): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        let secret = tx.sealer.open(place(ns, since, until), &Kept::read(row, 0)?)?;
        match until.map(Timestamp::from_millis) {
            None => current = Some((secret, Timestamp::from_millis(row.get(2)?))),
            Some(until) => former.push(Former { secret, until }),
        }
    }
    Ok(current.map(|(current, since)| SigningSecrets {
        current,
        since,
        former,
    }))
}

fn place(ns: &Namespace, since: Option<i64>, until: Option<i64>) -> Place<'_> {
    Place::Signing {
        namespace: ns.as_str(),
        since,
        until,
    }
}

fn write(tx: &Tx<'_>, ns: &Namespace, secrets: &SigningSecrets) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("DELETE FROM signing_secrets WHERE namespace = ?1")?
        .execute([ns.as_str()])?;
    let mut insert = tx.conn.prepare_cached(
        "INSERT INTO signing_secrets (namespace, secret, sealed_by, until, since, sum) \
         VALUES (?1, ?2, ?3, ?4, ?5, row_sum(?1, ?2, ?3, ?5, ?4))",
    )?;
    let mut keep = |secret: &Secret, since: Option<i64>, until: Option<i64>| {
        let kept = tx.sealer.seal(place(ns, since, until), secret);
        insert.execute(params![ns.as_str(), kept.bytes, kept.sealed_by, until, since])
    };
    keep(&secrets.current, Some(secrets.since.as_millis()), None)?;
    for former in &secrets.former {
        keep(&former.secret, None, Some(former.until.as_millis()))?;
    }
    Ok(())
}
