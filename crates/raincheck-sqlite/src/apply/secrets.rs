//! What a namespace signs with.

use raincheck_core::decide;
use raincheck_core::name::Namespace;
use raincheck_core::secret::{Former, Secret, SigningSecrets};
use raincheck_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::tx::Tx;

/// The namespace's secrets; `fresh` becomes the first where there are none.
pub(crate) fn get(tx: &Tx<'_>, ns: &Namespace, fresh: &Secret) -> rusqlite::Result<SigningSecrets> {
    if let Some(kept) = read(tx.conn, ns)? {
        return Ok(kept);
    }
    let first = decide::first_secret(fresh.clone(), tx.now);
    write(tx.conn, ns, &first)?;
    Ok(first)
}

/// Makes `fresh` the namespace's secret.
pub(crate) fn rotate(tx: &Tx<'_>, ns: &Namespace, fresh: &Secret) -> rusqlite::Result<SigningSecrets> {
    let next = match read(tx.conn, ns)? {
        Some(kept) => decide::rotate_secret(&kept, fresh.clone(), tx.now),
        None => decide::first_secret(fresh.clone(), tx.now),
    };
    write(tx.conn, ns, &next)?;
    Ok(next)
}

/// The key of tickets; `fresh` becomes it where there is none.
pub(crate) fn ticket_key(tx: &Tx<'_>, fresh: &Secret) -> rusqlite::Result<Secret> {
    tx.conn
        .prepare_cached("INSERT OR IGNORE INTO ticket_key (id, secret) VALUES (1, ?1)")?
        .execute([fresh.reveal()])?;
    let mut select = tx
        .conn
        .prepare_cached("SELECT secret FROM ticket_key WHERE id = 1")?;
    select.query_row([], |row| Ok(Secret::new(row.get(0)?)))
}

fn read(conn: &Connection, ns: &Namespace) -> rusqlite::Result<Option<SigningSecrets>> {
    // They were written in their order.
    let mut select = conn.prepare_cached(
        "SELECT secret, since, until FROM signing_secrets WHERE namespace = ?1 ORDER BY rowid",
    )?;
    let mut rows = select.query([ns.as_str()])?;
    let (mut current, mut former) = (None, Vec::new());
    while let Some(row) = rows.next()? {
        let secret = Secret::new(row.get(0)?);
        match row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis) {
            None => current = Some((secret, Timestamp::from_millis(row.get(1)?))),
            Some(until) => former.push(Former { secret, until }),
        }
    }
    Ok(current.map(|(current, since)| SigningSecrets {
        current,
        since,
        former,
    }))
}

fn write(conn: &Connection, ns: &Namespace, secrets: &SigningSecrets) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM signing_secrets WHERE namespace = ?1")?
        .execute([ns.as_str()])?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO signing_secrets (namespace, secret, until, since) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let since = secrets.since.as_millis();
    insert.execute(params![ns.as_str(), secrets.current.reveal(), None::<i64>, since])?;
    for former in &secrets.former {
        let until = former.until.as_millis();
        insert.execute(params![ns.as_str(), former.secret.reveal(), until, None::<i64>])?;
    }
    Ok(())
}
