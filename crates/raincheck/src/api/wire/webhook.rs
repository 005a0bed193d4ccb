//! The documents of webhooks.

use raincheck_core::secret::SigningSecrets;
use raincheck_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::webhooks::sign::written;

/// What pushes and webhooks are signed with.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(crate) struct SecretDocument {
    /// The secret, as receivers take it (Standard Webhooks).
    #[schema(example = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]
    secret: String,
    /// Since when it is the secret.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when everything is signed with a former secret as well; null where only this one signs.
    #[schema(value_type = Option<String>, format = DateTime)]
    former_until: Option<Timestamp>,
}

impl SecretDocument {
    /// The document as it is at `now`.
    pub(crate) fn of(secrets: &SigningSecrets, now: Timestamp) -> Self {
        Self {
            secret: written(&secrets.current),
            created_at: secrets.since,
            former_until: secrets.both_until(now),
        }
    }
}
