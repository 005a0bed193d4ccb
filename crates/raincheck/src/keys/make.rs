//! Making keys, by a running server or beside one that is not running.
//!
//! Invariant: a secret exists in the token that is given back and nowhere else; the store gets its digest.

use std::time::Duration;

use raincheck_core::audit::{Act, Actor};
use raincheck_core::key::{ApiKey, Grants, KeyId, KeyRefused, NewKey, Token};
use raincheck_core::name::{KeyName, Namespace};
use raincheck_core::store::{Store, StoreError};

use super::Hasher;
use crate::random::Randomness;

/// Ids are drawn at random from 2 to the 47th; so often another one is drawn.
const DRAWS: usize = 8;

/// A key that somebody wants.
#[derive(Clone, Debug)]
pub struct KeyWish {
    /// What it is for.
    pub name: KeyName,
    /// What it allows.
    pub grants: Grants,
    /// How long it is good; for good where nothing is said.
    pub valid_for: Option<Duration>,
}

/// Makes a key in a store that no server has open, and records that. A running server makes keys over its API.
///
/// # Errors
/// Those of the store.
pub async fn create(
    store: &dyn Store,
    ns: &Namespace,
    wish: &KeyWish,
) -> Result<Result<(ApiKey, Token), KeyRefused>, StoreError> {
    let random = Randomness::default();
    let pepper = store.key_pepper(random.secret()).await?;
    let store = store.recording(Act {
        id: random.bits(),
        actor: Actor::Local,
        address: None,
        namespace: ns.clone(),
        action: "createKey".to_owned(),
        target: "/v1/keys".to_owned(),
        request_id: String::new(),
    });
    with(&*store, &Hasher::new(&pepper), &random, ns, wish).await
}

/// Makes the first key of a store, one that may do everything; `None` where there are keys already.
///
/// # Errors
/// Those of the store.
pub async fn create_first(store: &dyn Store) -> Result<Option<(ApiKey, Token)>, StoreError> {
    if any(store).await? {
        return Ok(None);
    }
    let wish = KeyWish {
        name: KeyName::new("first").expect("a plain word is a name"),
        grants: Grants::everything(),
        valid_for: None,
    };
    Ok(create(store, &Namespace::default(), &wish).await?.ok())
}

/// Whether the store has keys, so that nothing is let in without one.
///
/// # Errors
/// Those of the store.
pub async fn any(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(!store.all_keys().await?.is_empty())
}

pub(super) async fn with(
    store: &dyn Store,
    hasher: &Hasher,
    random: &Randomness,
    ns: &Namespace,
    wish: &KeyWish,
) -> Result<Result<(ApiKey, Token), KeyRefused>, StoreError> {
    let mut refused = KeyRefused::Taken;
    for _ in 0..DRAWS {
        let token = Token {
            id: KeyId::new(random.bits()),
            secret: random.secret(),
        };
        let new = NewKey {
            id: token.id,
            name: wish.name.clone(),
            grants: wish.grants.clone(),
            valid_for: wish.valid_for,
            digest: hasher.digest(&token),
        };
        match store.create_key(ns, new).await? {
            Ok(key) => return Ok(Ok((key, token))),
            Err(why) => refused = why,
        }
        if refused != KeyRefused::Taken {
            break;
        }
    }
    Ok(Err(refused))
}
