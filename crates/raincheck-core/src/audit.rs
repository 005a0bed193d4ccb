//! The log of what administrators do: one row for each act, kept by the store beside what the act did.
//!
//! Invariants: an act that changed something has its row from the same commit on; an act has one row, however many
//! operations it took; no row holds a body, which may hold secrets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::id::ParseIdError;
use crate::key::{ApiKey, KeyId};
use crate::name::Namespace;
use crate::time::Timestamp;

/// So many rows of one namespace are looked at for one page at most.
pub const LOOKED_AT_MAX: u32 = 2_000;

/// Who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Who holds this key.
    Key(KeyId),
    /// Who needed none: somebody on the server's machine.
    Local,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Local => f.write_str("local"),
        }
    }
}

impl FromStr for Actor {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "local" => Ok(Self::Local),
            key => key.parse().map(Self::Key),
        }
    }
}

/// An act of administration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Tells acts apart; drawn at random.
    pub id: u64,
    /// Who acts.
    pub actor: Actor,
    /// From where, where that is known.
    pub address: Option<IpAddr>,
    /// In which namespace.
    pub namespace: Namespace,
    /// What is done: the name of an operation of the API, `putQueue` for example.
    pub action: String,
    /// On what: the path of the API.
    pub target: String,
    /// By which request.
    pub request_id: String,
}

impl Act {
    /// The act that was done where the operation was not refused.
    pub fn unless_refused<T, E>(&self, answer: &Result<T, E>) -> Option<Self> {
        answer.is_ok().then(|| self.clone())
    }

    /// The act that was done where there was something to do it on.
    pub fn where_found<T>(&self, answer: &Option<T>) -> Option<Self> {
        answer.is_some().then(|| self.clone())
    }

    /// The act that is done in any case.
    pub fn always<T>(&self, _: &T) -> Option<Self> {
        Some(self.clone())
    }

    /// The act that made a key: on that key, which its path could not name.
    pub fn that_made_a_key<E>(&self, answer: &Result<ApiKey, E>) -> Option<Self> {
        let key = answer.as_ref().ok()?;
        Some(Self {
            target: format!("{}/{}", self.target, key.id),
            ..self.clone()
        })
    }
}

/// An act as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Grows from one act to the next.
    pub place: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The act.
    pub act: Act,
    /// The code of the refusal; `None` where it was done.
    pub refused: Option<String>,
}

/// Which acts are asked for; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActFilter {
    /// Those of this actor.
    pub actor: Option<Actor>,
    /// Those of this operation.
    pub action: Option<String>,
    /// Those at or after this instant.
    pub since: Option<Timestamp>,
}

impl ActFilter {
    /// Whether the act is to be listed.
    #[must_use]
    pub fn matches(&self, recorded: &Recorded) -> bool {
        self.actor.is_none_or(|actor| actor == recorded.act.actor)
            && self
                .action
                .as_ref()
                .is_none_or(|action| *action == recorded.act.action)
            && !self.is_over(recorded)
    }

    /// Whether no older act matches either.
    #[must_use]
    pub fn is_over(&self, recorded: &Recorded) -> bool {
        self.since.is_some_and(|since| recorded.at < since)
    }
}

/// One page of the log that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActPage {
    /// Which acts.
    pub filter: ActFilter,
    /// The cursor of the page before; `None` begins with the newest act.
    pub cursor: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// One page of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acts {
    /// Acts, newest first. There may be fewer than asked for, even none, although more follow.
    pub acts: Vec<Recorded>,
    /// Where the next page begins; `None` where nothing follows.
    pub cursor: Option<u64>,
}

impl Acts {
    /// The page that rows make, which come newest first from its cursor on, at most [`LOOKED_AT_MAX`] of them.
    ///
    /// # Errors
    /// The first that the rows bring.
    pub fn of<E>(page: &ActPage, rows: impl Iterator<Item = Result<Recorded, E>>) -> Result<Self, E> {
        let mut found = Self::default();
        let mut last = None;
        for (n, row) in rows.enumerate() {
            let row = row?;
            if page.filter.is_over(&row) {
                return Ok(found);
            }
            let full = found.acts.len() >= page.limit as usize || n >= LOOKED_AT_MAX as usize;
            if full {
                found.cursor = last;
                return Ok(found);
            }
            last = Some(row.place);
            if page.filter.matches(&row) {
                found.acts.push(row);
            }
        }
        Ok(found)
    }
}

/// How long acts are kept, and how many at most, so that no flood of them fills the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActsKept {
    /// How long.
    pub time: Duration,
    /// So many of those that were refused: they cost whoever sends them nothing.
    pub refused_max: u32,
    /// So many of all.
    pub count_max: u32,
}

impl Default for ActsKept {
    /// 90 days, 10,000 refused ones, a million in all (about 200 MB).
    fn default() -> Self {
        Self {
            time: Duration::from_secs(90 * 24 * 3600),
            refused_max: 10_000,
            count_max: 1_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(place: u64, action: &str) -> Recorded {
        Recorded {
            place,
            at: Timestamp::from_millis(i64::try_from(place).unwrap()),
            act: Act {
                id: place,
                actor: Actor::Local,
                address: None,
                namespace: Namespace::default(),
                action: action.to_owned(),
                target: "/v1/keys".to_owned(),
                request_id: "r".to_owned(),
            },
            refused: None,
        }
    }

    fn page(filter: ActFilter, limit: u32, newest: u64) -> (Vec<u64>, Option<u64>) {
        let page = ActPage {
            filter,
            cursor: None,
            limit,
        };
        let rows = (1..=newest).rev();
        let rows = rows.map(|n| Ok::<_, ()>(recorded(n, if n == 1 { "first" } else { "later" })));
        let found = Acts::of(&page, rows).unwrap();
        (found.acts.iter().map(|row| row.place).collect(), found.cursor)
    }

    #[test]
    fn a_page_ends_where_it_is_full_and_tells_whether_more_follows() {
        assert_eq!(page(ActFilter::default(), 2, 3), (vec![3, 2], Some(2)));
        assert_eq!(page(ActFilter::default(), 3, 3), (vec![3, 2, 1], None));
        assert_eq!(page(ActFilter::default(), 3, 0), (vec![], None));
    }

    #[test]
    fn a_page_looks_at_no_more_than_its_share() {
        let first = ActFilter {
            action: Some("first".to_owned()),
            ..ActFilter::default()
        };
        let many = u64::from(LOOKED_AT_MAX) + 5;
        assert_eq!(page(first.clone(), 2, many), (vec![], Some(6)));
        assert_eq!(page(first, 2, 5), (vec![1], None));
    }

    #[test]
    fn nothing_is_looked_at_from_before_the_instant() {
        let since = ActFilter {
            since: Some(Timestamp::from_millis(4)),
            ..ActFilter::default()
        };
        assert_eq!(page(since, 10, 5), (vec![5, 4], None));
    }

    #[test]
    fn an_actor_reads_back() {
        for actor in [Actor::Local, Actor::Key(KeyId::new(7))] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        assert_eq!("nobody".parse::<Actor>(), Err(ParseIdError));
    }
}
