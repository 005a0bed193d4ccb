//! One request to the writer: what to do inside its transaction, and where the answer goes.
//!
//! Invariant: an operation can run again after a rollback, and is answered exactly once, after its commit or its
//! failure; an operation that is dropped unanswered tells its caller that the store failed.

use raincheck_core::store::{Answer, StoreError};
use tokio::sync::oneshot;

use crate::tx::Tx;

/// What the writer sees of a request.
pub(crate) trait Operation: Send {
    /// Does the work and keeps the answer. May be called again after a rollback.
    fn apply(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()>;

    /// Whether it may write rows; a batch of reads needs no sync.
    fn writes(&self) -> bool;

    /// Whether it looks at the rows of jobs, so that each must have its own; what accepts jobs, or finds them by their ids
    /// through the memory, does not.
    fn reads(&self) -> bool {
        true
    }

    /// Whether it makes new work, which is refused first where no space is left.
    fn is_new(&self) -> bool {
        false
    }

    /// Whether it has not been run or failed yet.
    fn unanswered(&self) -> bool;

    /// Replaces the answer by an error.
    fn fail(&mut self, error: &StoreError);

    /// Sends the answer.
    fn deliver(self: Box<Self>);
}

/// What a request may do, as [`Operation`] says of each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Does {
    pub(crate) writes: bool,
    pub(crate) reads: bool,
    pub(crate) new: bool,
}

struct Request<F, T> {
    run: F,
    does: Does,
    answer: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Operation for Request<F, T>
where
    F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn apply(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        self.answer = Some(Ok((self.run)(tx)?));
        Ok(())
    }

    fn writes(&self) -> bool {
        self.does.writes
    }

    fn reads(&self) -> bool {
        self.does.reads
    }

    fn is_new(&self) -> bool {
        self.does.new
    }

    fn unanswered(&self) -> bool {
        self.answer.is_none()
    }

    fn fail(&mut self, error: &StoreError) {
        self.answer = Some(Err(error.clone()));
    }

    fn deliver(self: Box<Self>) {
        if let Some(answer) = self.answer {
            // A caller that went away does not want it any more.
            let _ = self.reply.send(answer);
        }
    }
}

/// Makes a request and the answer that its caller waits for.
pub(crate) fn request<T, F>(does: Does, run: F) -> (Box<dyn Operation>, Answer<T>)
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (
        Box::new(Request {
            run,
            does,
            answer: None,
            reply,
        }),
        Box::pin(received(answer)),
    )
}

/// Waits for an answer that another thread sends.
pub(crate) async fn received<T>(answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    answer.await.unwrap_or(Err(StoreError::Closed))
}
