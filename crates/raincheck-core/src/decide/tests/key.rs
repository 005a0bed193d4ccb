//! Which keys may be made, and which may go.

use super::*;
use crate::decide::{create_key, revoke_key};
use crate::key::{ApiKey, Grants, KEYS_MAX, KeyDigest, KeyId, KeyRefused, NewKey};
use crate::name::KeyName;

fn new(id: u64, scopes: &str, queues: &[&str], hours: Option<u64>) -> NewKey {
    NewKey {
        id: KeyId::new(id),
        name: KeyName::new("ci").unwrap(),
        grants: Grants {
            scopes: scopes.parse().unwrap(),
            queues: queues.iter().map(|glob| glob.parse().unwrap()).collect(),
        },
        valid_for: hours.map(|hours| Duration::from_secs(hours * 3600)),
        digest: KeyDigest::new([1; 32]),
    }
}

fn ns(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

fn made(new: NewKey, namespace: &str, all: &[ApiKey]) -> ApiKey {
    create_key(new, &ns(namespace), all, at(0)).unwrap()
}

#[test]
fn the_first_key_can_make_others() {
    for (scopes, queues, namespace, first) in [
        ("admin", &[] as &[&str], "default", true),
        ("admin read", &[], "default", true),
        ("submit read cancel work", &[], "default", false),
        ("admin", &["*"], "default", false),
        ("admin", &[], "tenant", false),
    ] {
        let key = create_key(new(1, scopes, queues, None), &ns(namespace), &[], at(0));
        let expected = if first {
            None
        } else {
            Some(KeyRefused::FirstNotAdmin)
        };
        assert_eq!(key.err(), expected, "{scopes} {queues:?} {namespace}");
    }
}

#[test]
fn ids_are_unique_over_all_namespaces() {
    let all = [made(new(1, "admin", &[], None), "default", &[])];
    let twin = create_key(new(1, "read", &[], None), &ns("tenant"), &all, at(0));
    assert_eq!(twin, Err(KeyRefused::Taken));
}

#[test]
fn a_namespace_has_so_many_keys_and_takes_none_from_another() {
    let mut all = vec![made(new(0, "admin", &[], None), "default", &[])];
    for id in 1..=KEYS_MAX as u64 {
        let key = made(new(id, "read", &[], None), "tenant", &all);
        all.push(key);
    }
    let more = || new(1 << 40, "read", &[], None);
    let refused = create_key(more(), &ns("tenant"), &all, at(0));
    assert_eq!(refused, Err(KeyRefused::TooMany));
    assert!(create_key(more(), &ns("default"), &all, at(0)).is_ok());
}

#[test]
fn a_key_is_good_until_its_end() {
    let key = made(new(1, "admin", &[], Some(1)), "default", &[]);
    assert_eq!(key.expires_at, Some(at(3_600)));
    assert!(key.live(at(3_599)));
    assert!(!key.live(at(3_600)));
    assert!(made(new(1, "admin", &[], None), "default", &[]).live(at(1 << 30)));
}

#[test]
fn somebody_can_always_administer_the_server() {
    let first = made(new(1, "admin", &[], None), "default", &[]);
    let reader = made(new(2, "read", &[], None), "default", std::slice::from_ref(&first));
    let short = made(
        new(3, "admin", &[], Some(1)),
        "default",
        std::slice::from_ref(&first),
    );
    let tenant = made(new(4, "admin", &[], None), "tenant", std::slice::from_ref(&first));
    let all = [first, reader, short, tenant];
    let (default, tenants) = (ns("default"), ns("tenant"));
    let revoke = |id, ns: &Namespace, now| revoke_key(KeyId::new(id), ns, &all, at(now));
    assert_eq!(revoke(1, &default, 0), Ok(()), "another one is there");
    assert_eq!(revoke(1, &default, 3_600), Err(KeyRefused::LastAdmin));
    assert_eq!(revoke(3, &default, 3_600), Ok(()));
    assert_eq!(revoke(2, &default, 3_600), Ok(()));
    assert_eq!(
        revoke(4, &tenants, 3_600),
        Ok(()),
        "a tenant may leave itself none"
    );
    for (id, namespace) in [(9, &default), (4, &default), (1, &tenants)] {
        assert_eq!(revoke(id, namespace, 0), Err(KeyRefused::Unknown), "{id}");
    }
}
