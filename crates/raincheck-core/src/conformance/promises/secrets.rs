//! Promises about the secrets that a namespace signs with.

use super::kit::{Kit, h};
use crate::name::Namespace;
use crate::secret::{Secret, SigningSecrets};

impl Kit {
    async fn secrets(&self, fresh: u8) -> SigningSecrets {
        let asked = self.store.signing_secrets(&self.ns, Secret::new([fresh; 32]));
        asked.await.expect("the store answers")
    }

    async fn rotate(&self, fresh: u8) -> SigningSecrets {
        let asked = self.store.rotate_secret(&self.ns, Secret::new([fresh; 32]));
        asked.await.expect("the store answers")
    }
}

/// The secrets that sign now, by their first byte.
fn signing(kit: &Kit, secrets: &SigningSecrets) -> Vec<u8> {
    secrets
        .signing(kit.now())
        .map(|secret| secret.reveal()[0])
        .collect()
}

pub async fn the_first_secret_that_is_brought_stays(kit: Kit) {
    let first = kit.secrets(1).await;
    assert_eq!((signing(&kit, &first), first.since), (vec![1], kit.now()));
    kit.advance(h(1));
    assert_eq!(kit.secrets(2).await, first, "one that is there is not replaced");
}

pub async fn who_asks_at_the_same_time_gets_the_same_secret(kit: Kit) {
    let asked: Vec<_> = (1..9)
        .map(|fresh| kit.store.signing_secrets(&kit.ns, Secret::new([fresh; 32])))
        .collect();
    let mut got = Vec::new();
    for answer in asked {
        got.push(answer.await.expect("the store answers"));
    }
    assert!(got.iter().all(|secrets| *secrets == got[0]), "{got:?}");
}

pub async fn a_former_secret_signs_for_a_day(kit: Kit) {
    kit.secrets(1).await;
    let rotated = kit.rotate(2).await;
    assert_eq!(signing(&kit, &rotated), [2, 1]);
    assert_eq!(kit.secrets(9).await, rotated);
    kit.advance(h(24));
    let later = kit.secrets(9).await;
    assert_eq!(signing(&kit, &later), [2]);
}

pub async fn a_secret_can_be_replaced_before_anybody_asked_for_it(kit: Kit) {
    let rotated = kit.rotate(7).await;
    assert_eq!(signing(&kit, &rotated), [7]);
    assert_eq!(kit.secrets(9).await, rotated);
}

pub async fn a_secret_is_its_namespaces_own(kit: Kit) {
    kit.secrets(1).await;
    let stranger = kit.acting_for(Namespace::new("stranger").expect("the name is well formed"));
    let theirs = stranger.secrets(2).await;
    assert_eq!(signing(&stranger, &theirs), [2]);
    stranger.rotate(3).await;
    let ours = kit.secrets(9).await;
    assert_eq!(signing(&kit, &ours), [1]);
}

pub async fn the_ticket_key_never_changes(kit: Kit) {
    let ask = |fresh: u8| kit.store.ticket_key(Secret::new([fresh; 32]));
    let first = ask(1).await.expect("the store answers");
    assert_eq!(first.reveal(), &[1; 32]);
    kit.secrets(2).await;
    kit.rotate(3).await;
    kit.advance(h(1_000));
    assert_eq!(ask(4).await, Ok(first));
}
