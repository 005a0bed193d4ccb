//! Promises about API keys.

use super::kit::{Draft, Kit, h, s};
use crate::key::{ApiKey, Grants, KeyDigest, KeyId, KeyRefused, NewKey, Scopes};
use crate::name::{KeyName, Namespace};
use crate::secret::Secret;

/// A key to be made, and its id.
pub fn new_key(id: u64, scopes: &str) -> NewKey {
    NewKey {
        id: KeyId::new(id),
        name: KeyName::new(&format!("key {id}")).expect("the name is printable"),
        grants: Grants {
            scopes: scopes.parse().expect("these are scopes"),
            queues: Vec::new(),
        },
        valid_for: None,
        digest: KeyDigest::new([id.to_be_bytes()[7]; 32]),
    }
}

fn stranger(kit: &Kit) -> Kit {
    kit.acting_for(Namespace::new("stranger").expect("the name is well formed"))
}

impl Kit {
    pub async fn make_key(&self, new: NewKey) -> Result<ApiKey, KeyRefused> {
        let made = self.store.create_key(&self.ns, new);
        made.await.expect("the store answers")
    }

    pub async fn revoke(&self, id: u64) -> Result<(), KeyRefused> {
        let revoked = self.store.revoke_key(&self.ns, KeyId::new(id));
        revoked.await.expect("the store answers")
    }

    /// The ids of the namespace's keys.
    async fn key_ids(&self) -> Vec<KeyId> {
        let keys = self.store.keys(&self.ns).await.expect("the store answers");
        keys.iter().map(|key| key.id).collect()
    }
}

pub async fn the_pepper_never_changes(kit: Kit) {
    let ask = |fresh: u8| kit.store.key_pepper(Secret::new([fresh; 32]));
    let first = ask(1).await.expect("the store answers");
    assert_eq!(first.reveal(), &[1; 32]);
    kit.advance(h(1_000));
    assert_eq!(ask(2).await, Ok(first));
    let tickets = kit.store.ticket_key(Secret::new([3; 32])).await;
    assert_eq!(
        tickets,
        Ok(Secret::new([3; 32])),
        "tickets have a key of their own"
    );
}

pub async fn a_key_is_kept_with_all_that_it_allows(kit: Kit) {
    let first = kit.make_key(new_key(1, "admin")).await.expect("it may be made");
    assert_eq!(first.grants.scopes, Scopes::all());
    let new = NewKey {
        grants: Grants {
            scopes: "submit work".parse().expect("these are scopes"),
            queues: vec![
                "thumbs*".parse().expect("a pattern"),
                "mail".parse().expect("a pattern"),
            ],
        },
        valid_for: Some(h(1)),
        ..new_key(2, "")
    };
    kit.advance(s(5));
    let made = kit.make_key(new.clone()).await.expect("it may be made");
    let expected = ApiKey {
        id: new.id,
        namespace: kit.ns.clone(),
        name: new.name,
        grants: new.grants,
        created_at: kit.now(),
        expires_at: Some(kit.now().plus(h(1))),
        last_used_at: None,
        digest: new.digest,
    };
    assert_eq!(made, expected);
    kit.advance(h(2));
    let kept = vec![first, expected];
    assert_eq!(
        kit.store.keys(&kit.ns).await,
        Ok(kept.clone()),
        "also after its end"
    );
    assert_eq!(kit.store.all_keys().await, Ok(kept));
}

pub async fn the_first_key_must_be_able_to_make_others(kit: Kit) {
    let refused = Err(KeyRefused::FirstNotAdmin);
    assert_eq!(kit.make_key(new_key(1, "submit read")).await, refused);
    assert_eq!(stranger(&kit).make_key(new_key(1, "admin")).await, refused);
    assert_eq!(kit.store.all_keys().await, Ok(Vec::new()));
    kit.make_key(new_key(1, "admin")).await.expect("it may be made");
    assert_eq!(
        kit.make_key(new_key(1, "read")).await,
        Err(KeyRefused::Taken),
        "nor may two have one id"
    );
    kit.make_key(new_key(2, "read")).await.expect("it may be made");
}

pub async fn a_key_that_was_revoked_is_gone(kit: Kit) {
    kit.make_key(new_key(1, "admin")).await.expect("it may be made");
    kit.make_key(new_key(2, "read")).await.expect("it may be made");
    assert_eq!(kit.revoke(2).await, Ok(()));
    assert_eq!(kit.revoke(2).await, Err(KeyRefused::Unknown));
    assert_eq!(kit.key_ids().await, [KeyId::new(1)]);
    kit.make_key(new_key(2, "work"))
        .await
        .expect("its id is free again");
}

pub async fn the_last_key_that_can_administer_stays(kit: Kit) {
    let short = NewKey {
        valid_for: Some(h(1)),
        ..new_key(2, "admin")
    };
    kit.make_key(new_key(1, "admin")).await.expect("it may be made");
    kit.make_key(short).await.expect("it may be made");
    kit.make_key(new_key(3, "read")).await.expect("it may be made");
    kit.advance(h(1));
    assert_eq!(kit.revoke(1).await, Err(KeyRefused::LastAdmin));
    assert_eq!(kit.revoke(3).await, Ok(()));
    kit.make_key(new_key(4, "admin")).await.expect("it may be made");
    assert_eq!(kit.revoke(1).await, Ok(()));
    assert_eq!(kit.key_ids().await, [KeyId::new(2), KeyId::new(4)]);
}

pub async fn a_key_is_its_namespaces_own(kit: Kit) {
    kit.make_key(new_key(1, "admin")).await.expect("it may be made");
    let stranger = stranger(&kit);
    stranger
        .make_key(new_key(2, "admin"))
        .await
        .expect("it may be made");
    assert_eq!(kit.key_ids().await, [KeyId::new(1)]);
    assert_eq!(stranger.key_ids().await, [KeyId::new(2)]);
    assert_eq!(stranger.revoke(1).await, Err(KeyRefused::Unknown));
    assert_eq!(kit.revoke(2).await, Err(KeyRefused::Unknown));
    let all = kit.store.all_keys().await.expect("the store answers");
    let owners: Vec<_> = all.iter().map(|key| key.namespace.as_str()).collect();
    assert_eq!(owners, ["default", "stranger"]);
}

pub async fn the_last_use_of_a_key_only_moves_on(kit: Kit) {
    kit.make_key(new_key(1, "admin")).await.expect("it may be made");
    kit.make_key(new_key(2, "read")).await.expect("it may be made");
    let (one, two, gone) = (KeyId::new(1), KeyId::new(2), KeyId::new(3));
    let (early, late) = (kit.now(), kit.now().plus(s(60)));
    for used in [
        vec![(one, early), (gone, late), (two, late)],
        vec![(two, early), (one, late)],
        Vec::new(),
    ] {
        assert_eq!(kit.store.touch_keys(used).await, Ok(()));
    }
    let keys = kit.store.keys(&kit.ns).await.expect("the store answers");
    let used: Vec<_> = keys.iter().map(|key| key.last_used_at).collect();
    assert_eq!(used, [Some(late), Some(late)]);
}

pub async fn whose_a_job_is_can_be_asked(kit: Kit) {
    let stranger = stranger(&kit);
    kit.q().await;
    stranger.q().await;
    let (ours, theirs) = (
        kit.submit(Draft::default()).await,
        stranger.submit(Draft::default()).await,
    );
    let home = |id| kit.store.home(id);
    assert_eq!(home(ours).await, Ok(Some(kit.ns.clone())));
    assert_eq!(home(theirs).await, Ok(Some(stranger.ns.clone())));
    assert_eq!(home(kit.store.mint()).await, Ok(None));
    stranger.cancel(theirs).await.expect("the job is there");
    stranger.delete(theirs).await.expect("the job is done");
    assert_eq!(
        home(theirs).await,
        Ok(Some(stranger.ns.clone())),
        "its tombstone tells"
    );
    kit.advance(h(25));
    while kit.store.prune(99).await.expect("the store answers").more {}
    assert_eq!(home(theirs).await, Ok(None));
}
