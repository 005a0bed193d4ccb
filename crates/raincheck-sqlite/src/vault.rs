//! Secrets at rest: encrypted under a master key that is nowhere in the store.
//!
//! Each secret is sealed with XChaCha20-Poly1305 under a nonce of its own, and bound to the row that it lies in: moved to
//! another one it does not open. Beside it stands which key it was sealed under, by an id that tells nothing of the key.
//!
//! Invariants: in a store that was opened with a master key no secret lies in the clear, in rows, in free space or in the
//! log; one that holds sealed secrets is not opened without their key. All secrets are sealed under one key, from one commit to
//! the next.

use std::fmt;
use std::path::Path;

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use raincheck_core::secret::Secret;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

use crate::directory::{OpenError, row_error};

/// Bytes of a nonce; drawn at random from so many that no two are alike.
const NONCE: usize = 24;

/// What secrets are sealed under.
#[derive(Clone, Debug, Default)]
pub struct MasterKeys {
    /// The key. Without one secrets lie in the clear.
    pub current: Option<Secret>,
    /// The one before it: what is sealed under that is sealed anew when the store is opened.
    pub former: Option<Secret>,
}

/// Which master key: 16 hexadecimal digits that tell nothing of it.
#[must_use]
pub fn master_key_id(key: &Secret) -> String {
    let mut hash = Sha256::new();
    hash.update(b"raincheck master key id\0");
    hash.update(key.reveal());
    let digest = hash.finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Where a secret lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// What tickets are signed with.
    TicketKey,
    /// What keys are hashed with.
    KeyPepper,
    /// What a namespace signs with: since when, or until when.
    Signing {
        namespace: &'a str,
        since: Option<i64>,
        until: Option<i64>,
    },
}

impl Place<'_> {
    /// What a sealed secret is bound to.
    fn bound(&self) -> Vec<u8> {
        match self {
            Self::TicketKey => b"ticket_key".to_vec(),
            Self::KeyPepper => b"key_pepper".to_vec(),
            Self::Signing {
                namespace,
                since,
                until,
            } => {
                let at = |at: &Option<i64>| at.map(|at| at.to_string()).unwrap_or_default();
                format!("signing_secrets\0{namespace}\0{}\0{}", at(since), at(until)).into_bytes()
            }
        }
    }
}

/// A secret as its row has it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The secret itself, or its nonce and what it is encrypted to.
    pub(crate) bytes: Vec<u8>,
    /// The id of the key that it is sealed under; `None` where it lies in the clear.
    pub(crate) sealed_by: Option<String>,
}

impl Kept {
    /// Reads the two columns, of which this is the first.
    pub(crate) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            bytes: row.get(column)?,
            sealed_by: row.get(column + 1)?,
        })
    }
}

/// Why a secret does not open.
#[derive(Debug, thiserror::Error)]
enum SealError {
    #[error("a secret is sealed under another master key")]
    OtherKey,
    #[error("a secret was changed, or moved from another row")]
    Changed,
}

impl From<SealError> for rusqlite::Error {
    fn from(error: SealError) -> Self {
        Self::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
    }
}

/// Seals and opens.
#[derive(Clone)]
pub(crate) struct Sealer(Option<(String, XChaCha20Poly1305)>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealer").field(&self.id()).finish()
    }
}

impl Sealer {
    fn new(key: Option<&Secret>) -> Self {
        Self(key.map(|key| {
            let cipher = XChaCha20Poly1305::new_from_slice(key.reveal());
            (master_key_id(key), cipher.expect("a master key has 32 bytes"))
        }))
    }

    /// One that seals under this key.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of(key: &Secret) -> Self {
        Self::new(Some(key))
    }

    fn id(&self) -> Option<&str> {
        self.0.as_ref().map(|(id, _)| id.as_str())
    }

    /// The secret as its row is to have it.
    pub(crate) fn seal(&self, place: Place<'_>, secret: &Secret) -> Kept {
        let Some((id, cipher)) = &self.0 else {
            return Kept {
                bytes: secret.reveal().to_vec(),
                sealed_by: None,
            };
        };
        let nonce: [u8; NONCE] = rand::random();
        let mut sealed = secret.reveal().to_vec();
        let done = cipher.encrypt_in_place(&XNonce::from(nonce), &place.bound(), &mut sealed);
        done.expect("32 bytes are not too many");
        let bytes = [nonce.as_slice(), &sealed].concat();
        Kept {
            bytes,
            sealed_by: Some(id.clone()),
        }
    }

    /// The secret that a row has.
    pub(crate) fn open(&self, place: Place<'_>, kept: &Kept) -> rusqlite::Result<Secret> {
        Ok(self.opened(place, kept)?)
    }

    fn opened(&self, place: Place<'_>, kept: &Kept) -> Result<Secret, SealError> {
        let Some(id) = &kept.sealed_by else {
            let bytes = kept.bytes.as_slice().try_into();
            return bytes.map(Secret::new).map_err(|_| SealError::Changed);
        };
        let cipher = match &self.0 {
            Some((own, cipher)) if own == id => cipher,
            Some(_) | None => return Err(SealError::OtherKey),
        };
        let (nonce, sealed) = kept
            .bytes
            .split_first_chunk::<NONCE>()
            .ok_or(SealError::Changed)?;
        let mut bytes = sealed.to_vec();
        let opened = cipher.decrypt_in_place(&XNonce::from(*nonce), &place.bound(), &mut bytes);
        opened.map_err(|_| SealError::Changed)?;
        bytes.try_into().map(Secret::new).map_err(|_| SealError::Changed)
    }
}

/// A row of one of the tables that hold secrets.
struct Found {
    table: &'static str,
    /// Of a signing secret.
    signing: Option<(String, Option<i64>, Option<i64>)>,
    kept: Kept,
}

impl Found {
    fn place(&self) -> Place<'_> {
        match &self.signing {
            Some((namespace, since, until)) => Place::Signing {
                namespace,
                since: *since,
                until: *until,
            },
            None if self.table == "ticket_key" => Place::TicketKey,
            None => Place::KeyPepper,
        }
    }
}

/// All secrets of a store, in the order of their rows.
fn all(conn: &Connection) -> rusqlite::Result<Vec<Found>> {
    let mut found = Vec::new();
    for table in ["ticket_key", "key_pepper"] {
        let mut select = conn.prepare(&format!("SELECT secret, sealed_by FROM {table}"))?;
        let rows = select.query_map([], |row| Kept::read(row, 0))?;
        for kept in rows {
            found.push(Found {
                table,
                signing: None,
                kept: kept?,
            });
        }
    }
    let mut select = conn
        .prepare("SELECT secret, sealed_by, namespace, since, until FROM signing_secrets ORDER BY rowid")?;
    let rows = select.query_map([], |row| {
        Ok(Found {
            table: "signing_secrets",
            signing: Some((row.get(2)?, row.get(3)?, row.get(4)?)),
            kept: Kept::read(row, 0)?,
        })
    })?;
    found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    Ok(found)
}

/// The secrets of a store that is being opened: all of them open.
pub(crate) struct Unlocked {
    /// Seals and opens from now on.
    pub(crate) sealer: Sealer,
    found: Vec<Found>,
    plain: Vec<Secret>,
}

impl Unlocked {
    /// Opens all secrets.
    ///
    /// # Errors
    /// When a secret is sealed under a key that is not at hand, or does not open.
    pub(crate) fn open(conn: &Connection, database: &Path, keys: &MasterKeys) -> Result<Self, OpenError> {
        let failed = |source| row_error(database, source);
        let (sealer, former) = (
            Sealer::new(keys.current.as_ref()),
            Sealer::new(keys.former.as_ref()),
        );
        let found = all(conn).map_err(failed)?;
        let mut plain = Vec::with_capacity(found.len());
        for one in &found {
            let opener = match one.kept.sealed_by.as_deref() {
                Some(id) if sealer.id() != Some(id) && former.id() != Some(id) => {
                    return Err(OpenError::MasterKey {
                        path: database.to_owned(),
                        wanted: id.to_owned(),
                        given: sealer.id().map(str::to_owned),
                    });
                }
                by if by.is_some() && by != sealer.id() => &former,
                _ => &sealer,
            };
            plain.push(opener.open(one.place(), &one.kept).map_err(failed)?);
        }
        Ok(Self { sealer, found, plain })
    }

    /// Whether some are not sealed under the current key although there is one: in the clear, or under the former.
    pub(crate) fn stale(&self) -> bool {
        let id = self.sealer.id();
        id.is_some() && self.found.iter().any(|one| one.kept.sealed_by.as_deref() != id)
    }

    /// Seals all under the current key, in one transaction: a crash leaves all as they were, or all sealed.
    pub(crate) fn reseal(&self, conn: &mut Connection) -> rusqlite::Result<()> {
        reseal(conn, &self.sealer, &self.found, &self.plain)?;
        tracing::info!(
            secrets = self.found.len(),
            master_key = self.sealer.id(),
            "the store's secrets were encrypted"
        );
        Ok(())
    }
}

/// Writes all secrets anew. What they were is overwritten in the file, and moved out of the log.
fn reseal(conn: &mut Connection, sealer: &Sealer, found: &[Found], plain: &[Secret]) -> rusqlite::Result<()> {
    conn.pragma_update(None, "secure_delete", true)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Whole tables, so that pages which held earlier secrets are cleared as well.
    tx.execute_batch("DELETE FROM ticket_key; DELETE FROM key_pepper; DELETE FROM signing_secrets;")?;
    for (one, secret) in found.iter().zip(plain) {
        let kept = sealer.seal(one.place(), secret);
        match &one.signing {
            None => tx.execute(
                &format!(
                    "INSERT INTO {} (id, secret, sealed_by, sum) VALUES (1, ?1, ?2, row_sum(?1, ?2))",
                    one.table
                ),
                params![kept.bytes, kept.sealed_by],
            )?,
            Some((namespace, since, until)) => tx.execute(
                "INSERT INTO signing_secrets (namespace, secret, sealed_by, since, until, sum) \
                 VALUES (?1, ?2, ?3, ?4, ?5, row_sum(?1, ?2, ?3, ?4, ?5))",
                params![namespace, kept.bytes, kept.sealed_by, since, until],
            )?,
        };
    }
    tx.commit()?;
    conn.pragma_update(None, "secure_delete", false)?;
    // Nobody else has the store open yet.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Secret {
        Secret::new([byte; 32])
    }

    fn signing(namespace: &str) -> Place<'_> {
        Place::Signing {
            namespace,
            since: Some(1),
            until: None,
        }
    }

    #[test]
    fn a_sealed_secret_opens_in_its_row_under_its_key_and_nowhere_else() {
        let (sealer, other) = (Sealer::new(Some(&key(1))), Sealer::new(Some(&key(2))));
        let kept = sealer.seal(signing("a"), &key(9));
        assert_eq!(sealer.open(signing("a"), &kept).unwrap(), key(9));
        for place in [signing("b"), Place::TicketKey, Place::KeyPepper] {
            assert!(sealer.open(place, &kept).is_err(), "{place:?}");
        }
        assert!(other.open(signing("a"), &kept).is_err());
        assert!(Sealer::new(None).open(signing("a"), &kept).is_err());
        for at in 0..kept.bytes.len() {
            let mut changed = kept.clone();
            changed.bytes[at] ^= 1;
            assert!(sealer.open(signing("a"), &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn no_two_seals_are_alike_and_none_shows_what_it_holds() {
        let sealer = Sealer::new(Some(&key(1)));
        let (one, two) = (
            sealer.seal(Place::KeyPepper, &key(9)),
            sealer.seal(Place::KeyPepper, &key(9)),
        );
        assert_ne!(one.bytes, two.bytes);
        assert!(!one.bytes.windows(8).any(|part| part == [9; 8]));
        assert_eq!(one.sealed_by.as_deref(), Some(&*master_key_id(&key(1))));
        assert!(!format!("{sealer:?}").contains("1, 1"));
    }

    #[test]
    fn without_a_key_secrets_lie_in_the_clear() {
        let kept = Sealer::new(None).seal(Place::TicketKey, &key(9));
        assert_eq!(
            (kept.bytes.as_slice(), kept.sealed_by.is_none()),
            (&[9; 32][..], true)
        );
        assert_eq!(Sealer::new(None).open(Place::TicketKey, &kept).unwrap(), key(9));
    }
}
