//! The model keeps what administrators did, in the order in which they did it.

use std::convert::Infallible;

use super::state::Model;
use crate::audit::{Act, ActPage, Acts, ActsKept, Recorded};
use crate::name::Namespace;
use crate::store::Slice;
use crate::time::Timestamp;

impl Model {
    pub(super) fn record_act(&mut self, act: Act, refused: Option<String>, now: Timestamp) {
        if self.acts.iter().any(|kept| kept.act.id == act.id) {
            return;
        }
        self.acts_ever += 1;
        self.acts.push(Recorded {
            place: self.acts_ever,
            at: now,
            act,
            refused,
        });
    }

    pub(super) fn acts_of(&self, ns: &Namespace, page: &ActPage) -> Acts {
        let rows = self.acts.iter().rev().filter(|row| row.act.namespace == *ns);
        let rows = rows.filter(|row| page.cursor.is_none_or(|cursor| row.place < cursor));
        let Ok(found) = Acts::of(page, rows.cloned().map(Ok::<_, Infallible>));
        found
    }

    pub(super) fn prune_acts(&mut self, kept: ActsKept, limit: u32, now: Timestamp) -> Slice {
        let refused = self.acts.iter().filter(|row| row.refused.is_some()).count();
        let mut refused_over = refused.saturating_sub(kept.refused_max as usize);
        let mut over = self.acts.len().saturating_sub(kept.count_max as usize);
        let mut gone = Vec::new();
        for row in &self.acts {
            let old = row.at.plus(kept.time) <= now;
            let flooded = row.refused.is_some() && refused_over > 0;
            if old || over > 0 || flooded {
                gone.push(row.place);
            }
            over = over.saturating_sub(1);
            refused_over -= usize::from(flooded);
        }
        let more = gone.len() > limit as usize;
        gone.truncate(limit as usize);
        self.acts.retain(|row| !gone.contains(&row.place));
        Slice {
            count: u32::try_from(gone.len()).unwrap_or(u32::MAX),
            more,
        }
    }
}
