//! The list as lines of the batch: read, checked and written ahead, on a thread of its own beside the one that asks.
//!
//! Invariant: no more than a few groups of lines are held, however long the list is.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use raincheck::core::batch::Line;
use raincheck::fetch::{Origin, Run, Wanted};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::exit::{Exit, Failed};

/// So many lines go from one thread to the other at once.
const GROUP: usize = 64;
/// So many groups wait between them: more than is handed over at once.
const GROUPS: usize = 4;

type Group = Result<Vec<Line>, Failed>;

/// See the module.
#[derive(Debug)]
pub(super) struct Ahead {
    groups: mpsc::Receiver<Group>,
    at_hand: VecDeque<Line>,
}

impl Ahead {
    /// Begins to read; that ends with the list, or with this.
    pub(super) fn begin<L>(lines: L, run: &Arc<Run>) -> Self
    where
        L: Iterator<Item = io::Result<Vec<u8>>> + Send + 'static,
    {
        let (to, groups) = mpsc::channel(GROUPS);
        let run = run.clone();
        spawn_blocking(move || read(lines, &run, &to));
        Self {
            groups,
            at_hand: VecDeque::new(),
        }
    }

    /// The next so many lines; fewer where the list ends.
    ///
    /// # Errors
    /// Where the list cannot be read.
    ///
    /// # Cancel safety
    /// Safe: what was not given back stays.
    pub(super) async fn next(&mut self, most: usize) -> Result<Vec<Line>, Failed> {
        while self.at_hand.len() < most {
            match self.groups.recv().await {
                Some(group) => self.at_hand.extend(group?),
                None => break,
            }
        }
        let most = most.min(self.at_hand.len());
        Ok(self.at_hand.drain(..most).collect())
    }
}

fn read(mut lines: impl Iterator<Item = io::Result<Vec<u8>>>, run: &Run, to: &mpsc::Sender<Group>) {
    let mut origin = Origin::default();
    loop {
        let group = lines.by_ref().take(GROUP);
        let group: Group = group.map(|line| made(line, run, &mut origin)).collect();
        let last = group.as_ref().map_or(true, |group| group.len() < GROUP);
        if to.blocking_send(group).is_err() || last {
            return;
        }
    }
}

fn made(line: io::Result<Vec<u8>>, run: &Run, origin: &mut Origin) -> Result<Line, Failed> {
    let checked = Wanted::read(&line?).and_then(|wanted| wanted.checked_of(origin));
    let damaged = |why| Failed::new(Exit::Failure, format!("the list is damaged: {why}"));
    Ok(run.line(checked.map_err(damaged)?))
}
