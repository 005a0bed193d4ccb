//! Which secrets sign when.

use super::*;
use crate::decide::{first_secret, rotate_secret};
use crate::secret::{Secret, SigningSecrets};

fn secret(byte: u8) -> Secret {
    Secret::new([byte; 32])
}

#[track_caller]
fn check(secrets: &SigningSecrets, now: u64, expected: &[u8]) {
    let signing: Vec<_> = secrets
        .signing(at(now))
        .map(|secret| secret.reveal()[0])
        .collect();
    assert_eq!(signing, expected, "at {now} s");
    assert_eq!(secrets.both_until(at(now)).is_some(), expected.len() > 1);
}

const DAY: u64 = 86_400;

#[test]
fn a_former_secret_signs_for_a_day_after_it_was_replaced() {
    let first = first_secret(secret(1), at(0));
    check(&first, 0, &[1]);
    check(&first, 9 * DAY, &[1]);
    let second = rotate_secret(&first, secret(2), at(100));
    assert_eq!(second.since, at(100));
    check(&second, 100, &[2, 1]);
    check(&second, 99 + DAY, &[2, 1]);
    check(&second, 100 + DAY, &[2]);
    assert_eq!(second.both_until(at(100)), Some(at(100 + DAY)));
}

#[test]
fn every_former_secret_keeps_its_own_end() {
    let first = first_secret(secret(1), at(0));
    let third = rotate_secret(&rotate_secret(&first, secret(2), at(10)), secret(3), at(20));
    check(&third, 20, &[3, 2, 1]);
    check(&third, 10 + DAY, &[3, 2]);
    check(&third, 20 + DAY, &[3]);
    let later = rotate_secret(&third, secret(4), at(15 + DAY));
    check(&later, 15 + DAY, &[4, 3, 2]);
}

#[test]
fn no_more_secrets_sign_than_the_most() {
    let mut secrets = first_secret(secret(1), at(0));
    for byte in 2..9 {
        secrets = rotate_secret(&secrets, secret(byte), at(u64::from(byte)));
    }
    check(&secrets, 9, &[8, 7, 6, 5]);
}

#[test]
fn no_debug_shows_a_secret() {
    let secrets = rotate_secret(&first_secret(secret(0xab), at(0)), secret(0xcd), at(1));
    let shown = format!("{secrets:?}");
    for byte in ["171", "205", "ab", "cd"] {
        assert!(
            !shown.contains(&format!("[{byte}")) && !shown.contains(&byte.repeat(3)),
            "{shown}"
        );
    }
}
