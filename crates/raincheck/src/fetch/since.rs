//! The answers of an earlier batch, by their URLs, so that a later one asks only for what has changed.
//!
//! Invariant: of a URL it keeps a digest and the id of its job, however many there are.

use std::collections::HashMap;

use raincheck_core::batch::BatchId;
use raincheck_core::decide::FetchMethod;
use raincheck_core::id::JobId;
use raincheck_core::job::State;
use raincheck_core::list::{Filter, PAGE_MAX, Page};
use raincheck_core::name::Namespace;
use raincheck_core::store::{Store, StoreError};
use sha2::{Digest, Sha256};

use super::wanted::Wanted;

/// The fetches of a batch that succeeded.
#[derive(Clone, Debug, Default)]
pub struct Earlier(HashMap<[u8; 16], JobId>);

impl Earlier {
    /// The fetch of this URL, in its one spelling.
    #[must_use]
    pub fn of(&self, url: &str) -> Option<JobId> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&digest(url)).copied()
    }
}

/// Stands for a URL.
pub(crate) fn digest(url: &str) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(url.as_bytes())[..16]);
    digest
}

/// The fetches of this batch that succeeded and are still kept.
///
/// # Errors
/// Those of the store.
pub async fn earlier(store: &dyn Store, ns: &Namespace, batch: BatchId) -> Result<Earlier, StoreError> {
    let mut earlier = Earlier::default();
    let mut page = Page {
        filter: Filter {
            batch: Some(batch),
            state: Some(State::Succeeded),
            ..Filter::default()
        },
        cursor: None,
        limit: PAGE_MAX,
    };
    loop {
        let listed = store.list(ns, page.clone()).await?;
        for job in &listed.jobs {
            let Ok(input) = store.input(ns, job.id).await? else {
                continue;
            };
            let wanted = Wanted::read(&input.body).ok();
            if let Some(wanted) = wanted.filter(|wanted| wanted.method == FetchMethod::Get) {
                earlier.0.insert(digest(&wanted.url), job.id);
            }
        }
        page.cursor = listed.cursor;
        if page.cursor.is_none() {
            return Ok(earlier);
        }
    }
}
