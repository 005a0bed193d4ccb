//! Keys in memory, over the model of a store.

use std::time::Duration;

use raincheck_core::clock::{Clock as _, ManualClock};
use raincheck_core::conformance::ModelStore;
use raincheck_core::name::KeyName;

use super::*;

struct Rig {
    store: ModelStore,
    clock: Arc<ManualClock>,
    keys: Keys,
}

async fn rig() -> Rig {
    let clock = Arc::new(ManualClock::default());
    let store = ModelStore::new(clock.clone());
    let keys = Keys::load(&store, &Randomness::default()).await.unwrap();
    Rig { store, clock, keys }
}

impl Rig {
    async fn make(&self, scopes: &str, valid_for: Option<Duration>) -> (ApiKey, String) {
        let wish = KeyWish {
            name: KeyName::new("k").unwrap(),
            grants: Grants {
                scopes: scopes.parse().unwrap(),
                queues: Vec::new(),
            },
            valid_for,
        };
        let made = self.keys.create(&self.store, &Namespace::default(), &wish).await;
        let (key, token) = made.unwrap().unwrap();
        (key, token.reveal())
    }

    fn opens(&self, text: &str) -> bool {
        self.keys.check(text.as_bytes(), self.clock.now()).is_some()
    }
}

#[tokio::test]
async fn a_key_is_asked_for_from_the_first_on() {
    let rig = rig().await;
    assert!(!rig.keys.required());
    let (_, text) = rig.make("admin", None).await;
    assert!(rig.keys.required());
    assert!(rig.opens(&text));
}

#[tokio::test]
async fn only_the_very_key_opens() {
    let rig = rig().await;
    let (key, text) = rig.make("admin", None).await;
    let other = Token {
        id: key.id,
        secret: Secret::new([1; 32]),
    };
    let unknown = Token {
        id: KeyId::new(1),
        secret: Token::read(text.as_bytes()).unwrap().secret,
    };
    for wrong in [
        other.reveal(),
        unknown.reveal(),
        String::new(),
        text.to_lowercase(),
    ] {
        assert!(!rig.opens(&wrong), "{wrong}");
    }
    let twin = Keys::load(&rig.store, &Randomness::default()).await.unwrap();
    assert!(
        twin.check(text.as_bytes(), rig.clock.now()).is_some(),
        "whoever opens the store knows it as well"
    );
}

#[tokio::test]
async fn a_key_that_was_revoked_or_is_over_opens_nothing() {
    let rig = rig().await;
    rig.make("admin", None).await;
    let (key, revoked) = rig.make("read", None).await;
    let (_, short) = rig.make("read", Some(Duration::from_secs(60))).await;
    assert!(rig.opens(&revoked) && rig.opens(&short));
    let ns = Namespace::default();
    rig.keys.revoke(&rig.store, &ns, key.id).await.unwrap().unwrap();
    assert!(!rig.opens(&revoked));
    rig.clock.advance(Duration::from_secs(59));
    assert!(rig.opens(&short));
    rig.clock.advance(Duration::from_secs(1));
    assert!(!rig.opens(&short));
}

#[tokio::test]
async fn a_key_whose_revocation_was_refused_still_opens() {
    let rig = rig().await;
    let (key, text) = rig.make("admin", None).await;
    let refused = rig.keys.revoke(&rig.store, &Namespace::default(), key.id).await;
    assert_eq!(refused, Ok(Err(KeyRefused::LastAdmin)));
    assert!(rig.opens(&text));
    assert!(rig.keys.required());
}

#[tokio::test]
async fn the_store_is_told_once_of_many_uses() {
    let rig = rig().await;
    let (_, text) = rig.make("admin", None).await;
    let told = async || {
        touch::tell(&rig.store, &rig.keys).await.unwrap();
        rig.store.all_keys().await.unwrap()[0].last_used_at
    };
    assert_eq!(told().await, None);
    rig.clock.advance(Duration::from_secs(10));
    let used = rig.clock.now();
    for _ in 0..100 {
        assert!(rig.opens(&text));
    }
    assert_eq!(rig.keys.untold().len(), 1);
    assert_eq!(told().await, Some(used));
    assert!(rig.keys.untold().is_empty(), "nothing is told twice");
    assert!(!rig.opens("rck_"));
    assert!(rig.keys.untold().is_empty());
}

#[tokio::test]
async fn a_lent_key_works_one_queue_and_asks_nobody_else_for_a_key() {
    let rig = rig().await;
    let queue = |name: &str| QueueName::new(name).unwrap();
    let token = rig.keys.lend(&Namespace::default(), &queue("thumbs"));
    assert!(!rig.keys.required());
    let kept = rig
        .keys
        .check(token.reveal().as_bytes(), rig.clock.now())
        .unwrap();
    assert!(kept.grants.allows_queue(&queue("thumbs")) && !kept.grants.allows_queue(&queue("thumbs2")));
    assert!(kept.grants.scopes.contains(Scope::Work) && !kept.grants.scopes.contains(Scope::Read));
    assert!(rig.keys.untold().is_empty());
}
