//! Where rates stand, and when those whom they hold back are to look again.
//!
//! Invariants: what is here equals the rows once the transaction has ended ([`Rates::flush`]); a state that says nothing
//! any more is forgotten, here and there, so that there are at most as many as were used lately.

use std::collections::BTreeSet;

use raincheck_core::limit::{Limits, RateState, carry_over};
use raincheck_core::name::GroupName;
use raincheck_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, params};

use super::Named;
use crate::row::QueueKey;

/// Whose rate it is: the queue's own, or one of its groups'.
pub(crate) type RateKey = (QueueKey, Option<GroupName>);

/// A transaction forgets as many states as it writes, and so many more.
const FORGOTTEN_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    states: Named<RateKey, RateState>,
    /// By when the state says nothing any more, in milliseconds.
    ends: BTreeSet<(i64, RateKey)>,
    /// States that the transaction under way has changed.
    touched: BTreeSet<RateKey>,
    /// By when the next may start, in milliseconds: those that hold jobs back.
    due: BTreeSet<(i64, RateKey)>,
}

impl Rates {
    pub(crate) fn get(&self, key: &RateKey) -> RateState {
        self.states.get(key).copied().unwrap_or_default()
    }

    /// Notes where a rate stands; its row follows at the end of the transaction.
    pub(crate) fn set(&mut self, key: RateKey, state: RateState) {
        self.put(key.clone(), state);
        self.touched.insert(key);
    }

    fn put(&mut self, key: RateKey, state: RateState) {
        self.ends.insert((state.over_at().as_millis(), key.clone()));
        if let Some(before) = self.states.insert(key.clone(), state)
            && before.over_at() != state.over_at()
        {
            self.ends.remove(&(before.over_at().as_millis(), key));
        }
    }

    /// A queue's settings or the clock have changed: see [`carry_over`].
    pub(super) fn carry_over(
        &mut self,
        queue: QueueKey,
        limits: impl Fn(Option<&GroupName>) -> Limits,
        now: Timestamp,
    ) {
        let ours = self.states.iter().filter(|(key, _)| key.0 == queue);
        let carried = ours.filter_map(|(key, state)| {
            let (rate, burst) = limits(key.1.as_ref()).rate?;
            let carried = carry_over(*state, rate, burst, now);
            (carried != *state).then(|| (key.clone(), carried))
        });
        for (key, state) in carried.collect::<Vec<_>>() {
            self.set(key, state);
        }
    }

    /// Those whom this rate holds back are to look again then.
    pub(crate) fn look_again(&mut self, key: RateKey, at: Timestamp) {
        self.due.insert((at.as_millis(), key));
    }

    /// When somebody is to look again.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| Timestamp::from_millis(*at))
    }

    /// Whose next may start now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<RateKey> {
        self.due.first().filter(|(at, _)| *at <= now.as_millis())?;
        self.due.pop_first().map(|(_, key)| key)
    }

    /// Reads what is kept.
    pub(super) fn load(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut select = conn.prepare("SELECT queue, job_group, arrival FROM rates")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let group = match row.get_ref(1)?.as_str()? {
                "" => None,
                name => Some(GroupName::new(name).map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(error))
                })?),
            };
            self.put((row.get(0)?, group), RateState(row.get(2)?));
        }
        Ok(())
    }

    /// Writes what the transaction has changed, and forgets some of what says nothing any more.
    pub(crate) fn flush(&mut self, conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let over =
            |ends: &BTreeSet<(i64, RateKey)>| ends.first().is_some_and(|(at, _)| *at <= now.as_millis());
        if self.touched.is_empty() && !over(&self.ends) {
            return Ok(());
        }
        let touched = std::mem::take(&mut self.touched);
        for key in &touched {
            let mut upsert = conn.prepare_cached(
                "INSERT INTO rates (queue, job_group, arrival) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (queue, job_group) DO UPDATE SET arrival = excluded.arrival",
            )?;
            upsert.execute(params![key.0, group(key), self.get(key).0])?;
        }
        for _ in 0..touched.len() + FORGOTTEN_MAX {
            if !over(&self.ends) {
                break;
            }
            if let Some((_, key)) = self.ends.pop_first() {
                self.states.remove(&key);
                let mut delete =
                    conn.prepare_cached("DELETE FROM rates WHERE queue = ?1 AND job_group = ?2")?;
                delete.execute(params![key.0, group(&key)])?;
            }
        }
        Ok(())
    }
}

fn group(key: &RateKey) -> &str {
    key.1.as_ref().map_or("", GroupName::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("../sql/0011_rates.sql")).unwrap();
        conn
    }

    fn rows(conn: &Connection) -> u32 {
        conn.query_row("SELECT count(*) FROM rates", [], |row| row.get(0))
            .unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn states_are_kept_until_they_say_nothing_any_more() {
        let conn = database();
        let mut rates = Rates::default();
        let own = (1, None);
        let group = (1, Some(GroupName::new("g").unwrap()));
        rates.set(own.clone(), RateState(5_000_000_000));
        rates.set(own.clone(), RateState(7_000_000_000));
        rates.set(group.clone(), RateState(2_000_000_000));
        rates.flush(&conn, at(1_000)).unwrap();
        let mut read = Rates::default();
        read.load(&conn).unwrap();
        assert_eq!(read.get(&own), RateState(7_000_000_000));
        assert_eq!(read.get(&group), RateState(2_000_000_000));
        read.flush(&conn, at(2_001)).unwrap();
        assert_eq!((read.get(&group), rows(&conn)), (RateState::default(), 1));
        read.flush(&conn, at(7_000)).unwrap();
        assert_eq!(rows(&conn), 1, "it still counts");
        read.flush(&conn, at(7_001)).unwrap();
        assert_eq!((rows(&conn), read.states.len(), read.ends.len()), (0, 0, 0));
    }

    #[test]
    fn ten_thousand_states_are_forgotten_in_slices() {
        let conn = database();
        let mut rates = Rates::default();
        for n in 0..10_000 {
            rates.set((n, None), RateState(1));
        }
        rates.flush(&conn, at(0)).unwrap();
        assert_eq!(rows(&conn), 10_000);
        rates.flush(&conn, at(1_000)).unwrap();
        assert_eq!(rows(&conn), 10_000 - 64);
    }
}
