//! A program and everything it started, as one process group.
//!
//! Invariant: the group is signalled only while its leader is not reaped, for until then nobody else can get its number;
//! and it is always signalled before the leader is reaped, so that nothing of it stays behind. (A descendant that
//! makes itself a session of its own has left the group and is not reached.)

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::timeout;

use super::confine::Confinement;
use super::pipes::Pipes;
use super::{files, guard};

/// How long what a program started may go on writing after the program itself has ended.
const LINGER: Duration = Duration::from_millis(500);

/// A started program.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    leader: Child,
    /// The leader's number, which is the group's.
    number: Pid,
    /// Somebody's child has ended: time to look whether it is ours.
    child_ended: unix::Signal,
    reaped: bool,
}

/// The ends of the program's pipes.
pub(super) type Ends = (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>);

impl ProcessGroup {
    /// Starts the program, which is confined like this. The command must ask for a group of its own.
    pub(super) fn start(mut command: Command, confinement: &Confinement) -> io::Result<(Self, Ends)> {
        // Listening first: no end goes unheard.
        let child_ended = unix::signal(SignalKind::child())?;
        guard::ready();
        let mut leader = command.spawn()?;
        let number = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let number =
            number.ok_or_else(|| io::Error::other("a program that was just started has no number"))?;
        files::as_before(number, confinement);
        guard::enter(number);
        let ends = (leader.stdin.take(), leader.stdout.take(), leader.stderr.take());
        let group = Self {
            leader,
            number,
            child_ended,
            reaped: false,
        };
        Ok((group, ends))
    }

    /// The leader's number.
    pub(super) const fn number(&self) -> u32 {
        self.number.as_raw_nonzero().get().cast_unsigned()
    }

    /// Waits until the leader has ended, without reaping it.
    ///
    /// # Cancel safety
    /// Safe: only the wait is dropped.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(self.number), look)?.is_none() {
            self.child_ended.recv().await;
        }
        Ok(())
    }

    /// Asks every process of the group to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends every process of the group and waits until the leader has ended.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::KILL);
        self.ended().await
    }

    /// After the leader has ended: lets what is still in the pipes come, ends what is left of the group, reaps the
    /// leader. Takes a bounded time even where a process keeps the pipes open.
    pub(super) async fn finish(&mut self, pipes: &mut Pipes) -> io::Result<ExitStatus> {
        // Usually everything is there already. Where not, somebody of the group may be about to write it.
        let _ = timeout(LINGER, pipes.drained()).await;
        let status = self.reap().await?;
        // What was killed just now has closed its ends; only one who left the group may hold them open.
        let _ = timeout(LINGER, pipes.drained()).await;
        Ok(status)
    }

    /// After the leader has ended: ends what is left of the group, reaps the leader.
    pub(super) async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        guard::leave(self.number);
        self.reaped = true;
        self.leader.wait().await
    }

    fn signal(&self, signal: Signal) {
        if !self.reaped {
            // It fails only where nobody is left in the group, which is what is wanted.
            let _ = kill_process_group(self.number, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // The attempt was cut: tokio reaps the leader (`kill_on_drop`), the rest of the group is ended here.
        self.signal(Signal::KILL);
        guard::leave(self.number);
    }
}
