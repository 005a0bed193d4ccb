//! Keys: which may be made, and which may go.

use crate::key::{ApiKey, KEYS_MAX, KeyId, KeyRefused, NewKey};
use crate::name::Namespace;
use crate::time::Timestamp;

/// Makes a key of a namespace, beside all keys that there are in any.
///
/// # Errors
/// When its id is taken, when it is the first of all and could not make others, or when the namespace has as many as it may.
pub fn create_key(new: NewKey, ns: &Namespace, all: &[ApiKey], now: Timestamp) -> Result<ApiKey, KeyRefused> {
    let key = ApiKey {
        id: new.id,
        namespace: ns.clone(),
        name: new.name,
        grants: new.grants,
        created_at: now,
        expires_at: new.valid_for.map(|time| now.plus(time)),
        last_used_at: None,
        digest: new.digest,
    };
    if all.iter().any(|other| other.id == key.id) {
        return Err(KeyRefused::Taken);
    }
    if all.is_empty() && !key.is_operator() {
        return Err(KeyRefused::FirstNotAdmin);
    }
    if all.iter().filter(|other| other.namespace == *ns).count() >= KEYS_MAX {
        return Err(KeyRefused::TooMany);
    }
    Ok(key)
}

/// Whether a key of the namespace may go, of all keys that there are in any. Where there is one key nothing works without
/// one, and that must stay so: a server that took away its last key would open itself to everybody.
///
/// # Errors
/// When the namespace does not have it, or nobody else could administer the server.
pub fn revoke_key(id: KeyId, ns: &Namespace, all: &[ApiKey], now: Timestamp) -> Result<(), KeyRefused> {
    let key = all.iter().find(|key| key.id == id && key.namespace == *ns);
    let key = key.ok_or(KeyRefused::Unknown)?;
    let another = all
        .iter()
        .any(|other| other.id != id && other.is_operator() && other.live(now));
    if key.is_operator() && !another {
        return Err(KeyRefused::LastAdmin);
    }
    Ok(())
}
