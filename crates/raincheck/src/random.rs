//! Where the engine's randomness comes from: the system, or a seed.
//!
//! Invariant: everything random that the engine does (jitter, seeds of delays, nonces of leases, secrets) is drawn here, so that a
//! simulation which gives a seed sees the same run twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raincheck_core::id::Nonce;
use raincheck_core::retry::mix;
use raincheck_core::secret::Secret;

/// A source of random numbers. Cloning gives another handle on the same stream.
#[derive(Clone, Debug, Default)]
pub struct Randomness(Option<Arc<AtomicU64>>);

impl Randomness {
    /// The stream of this seed, for simulations: leases become predictable, so nothing that others can reach may use it.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(seed))))
    }

    /// 64 random bits.
    #[must_use]
    pub fn bits(&self) -> u64 {
        match &self.0 {
            Some(state) => mix(state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)),
            None => rand::random(),
        }
    }

    /// The secret part of a lease.
    pub(crate) fn nonce(&self) -> Nonce {
        let mut nonce = [0; 12];
        if self.0.is_none() {
            // At once: an array of bytes is drawn byte by byte, and a claim brings a nonce for each free slot.
            nonce.copy_from_slice(&rand::random::<u128>().to_be_bytes()[..12]);
            return Nonce(nonce);
        }
        nonce[..8].copy_from_slice(&self.bits().to_be_bytes());
        nonce[8..].copy_from_slice(&self.bits().to_be_bytes()[..4]);
        Nonce(nonce)
    }

    /// A secret to sign with.
    pub(crate) fn secret(&self) -> Secret {
        if self.0.is_none() {
            return Secret::new(rand::random());
        }
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.bits().to_be_bytes());
        }
        Secret::new(bytes)
    }

    /// A part of a whole, from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits are what the fraction holds")]
    pub(crate) fn fraction(&self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u32 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_stream_to_all_its_handles() {
        let draw = || {
            let one = Randomness::seeded(7);
            let two = one.clone();
            (one.bits(), two.nonce(), one.fraction(), two.bits())
        };
        assert_eq!(draw(), draw());
        assert_ne!(Randomness::seeded(7).bits(), Randomness::seeded(8).bits());
    }

    #[test]
    fn without_a_seed_no_two_nonces_are_alike() {
        let random = Randomness::default();
        assert_ne!(random.nonce(), random.nonce());
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&random.fraction()));
        }
    }
}
