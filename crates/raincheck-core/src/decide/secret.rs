//! The secrets of a namespace: the first one, and the next.

use crate::secret::{BOTH_SIGN, FORMER_MAX, Former, Secret, SigningSecrets};
use crate::time::Timestamp;

/// The secrets of a namespace that had none.
#[must_use]
pub fn first_secret(fresh: Secret, now: Timestamp) -> SigningSecrets {
    SigningSecrets {
        current: fresh,
        since: now,
        former: Vec::new(),
    }
}

/// Replaces the present secret, which signs beside the new one for [`BOTH_SIGN`], so that those who verify have time to
/// take the new one over. Earlier ones keep their own end.
#[must_use]
pub fn rotate_secret(secrets: &SigningSecrets, fresh: Secret, now: Timestamp) -> SigningSecrets {
    let replaced = Former {
        secret: secrets.current.clone(),
        until: now.plus(BOTH_SIGN),
    };
    let earlier = secrets.former.iter().filter(|former| former.until > now);
    SigningSecrets {
        current: fresh,
        since: now,
        former: std::iter::once(replaced)
            .chain(earlier.cloned())
            .take(FORMER_MAX)
            .collect(),
    }
}
