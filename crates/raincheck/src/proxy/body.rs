//! The body of a request on its way to the upstream.
//!
//! It is passed on as it comes. On the side it is kept, where the call may become a job; it is held back where its client
//! wants to hear first that it is welcome, and has not sent it all the same (RFC 9110 section 10.1.1).
//!
//! Invariants: what is kept is bounded, by the queue and by the room that all bodies have; a client that stops sending in the
//! middle is given up; whoever waits for the end of a body hears of it also where the body is dropped.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use crate::room::{Room, Whole};
use crate::server::Unasked;
use crate::tasks::{Group, TaskKind};

/// How long the upstream may leave it open whether the body is welcome; then it is sent.
const WELCOME_TIME: Duration = Duration::from_secs(1);
/// How long a connection stays whose request was answered without its body, so that the answer can be read.
const UNWANTED_TIME: Duration = Duration::from_secs(30);

/// What is known of a body that is being sent.
#[derive(Debug)]
pub(crate) struct Upload {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug)]
struct State {
    ended: Option<Instant>,
    /// Whether its client left it unfinished.
    broke_off: bool,
    kept: Option<Kept>,
    /// Who looks after a client that stops sending.
    watch: Watch,
}

/// Who gives a body up whose client stalls.
#[derive(Debug)]
enum Watch {
    /// The body itself, by a timer of its own.
    Own,
    /// Whoever waits for the answer, by the timer that it has anyway.
    Caller {
        /// When something of the body came last.
        heard: Instant,
        /// Who reads it, while nothing is there to be read.
        reader: Option<Waker>,
    },
}

/// Where a body stands that somebody waits for in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is late before then.
    Until(Instant),
    /// It has gone whole, and that long ago.
    Sent,
    /// Its client sends no more.
    Stalled,
    /// Whoever it is for takes no more.
    Untaken,
}

/// What was kept so far.
#[derive(Debug)]
struct Kept {
    so_far: Whole,
    announced: usize,
    most: u64,
    complete: bool,
}

impl Upload {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the body was sent, or is given up.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.state().ended.is_some() {
                return;
            }
            ended.await;
        }
    }

    /// Whether it is still being sent.
    pub(crate) fn under_way(&self) -> bool {
        self.state().ended.is_none()
    }

    /// Whether the client left it unfinished.
    pub(crate) fn broke_off(&self) -> bool {
        self.state().broke_off
    }

    /// The body, where it was kept whole.
    pub(crate) fn kept(&self) -> Option<Bytes> {
        let mut state = self.state();
        let kept = state.kept.take_if(|kept| kept.complete)?;
        Some(kept.so_far.end())
    }

    /// Whether more of the body is of use: it was kept so far, and others than these so many may still want it.
    fn wants_rest(self: &Arc<Self>, own: usize) -> bool {
        Arc::strong_count(self) > own && self.state().kept.is_some()
    }

    /// How the body stands for one who gives it so much time between its parts, and the answer after its end.
    pub(crate) fn standing(&self, limit: Duration) -> Standing {
        let state = self.state();
        let (since, late) = match (&state.ended, &state.watch) {
            (Some(ended), _) => (*ended, Standing::Sent),
            // It gives itself up.
            (None, Watch::Own) => return Standing::Until(Instant::now() + limit),
            (
                None,
                Watch::Caller {
                    heard,
                    reader: Some(_),
                },
            ) => (*heard, Standing::Stalled),
            (None, Watch::Caller { heard, reader: None }) => (*heard, Standing::Untaken),
        };
        match since + limit {
            due if due > Instant::now() => Standing::Until(due),
            _ => late,
        }
    }

    /// Nobody waits any more: from here on the body gives itself up.
    pub(crate) fn leave_alone(&self) {
        let mut state = self.state();
        let watch = std::mem::replace(&mut state.watch, Watch::Own);
        drop(state);
        if let Watch::Caller {
            reader: Some(reader), ..
        } = watch
        {
            reader.wake();
        }
    }

    /// Whether somebody else looks after the body while nothing of it comes; it is read on by this waker.
    fn looked_after(&self, waker: &Waker) -> bool {
        match &mut self.state().watch {
            Watch::Own => false,
            Watch::Caller { reader, .. } => {
                if !reader.as_ref().is_some_and(|reader| reader.will_wake(waker)) {
                    *reader = Some(waker.clone());
                }
                true
            }
        }
    }

    /// Something of the body came.
    fn take(&self, data: &[u8]) {
        let mut state = self.state();
        if let Watch::Caller { heard, reader } = &mut state.watch {
            (*heard, *reader) = (Instant::now(), None);
        }
        let Some(kept) = &mut state.kept else { return };
        let so_far = kept.so_far.bytes().len();
        // As much as was announced at once: what grows step by step leaves holes behind.
        let more = data.len().max(kept.announced.saturating_sub(so_far));
        if (so_far + data.len()) as u64 > kept.most || kept.so_far.reserve(more).is_err() {
            state.kept = None;
            return;
        }
        kept.so_far.push(data);
    }

    fn end(&self, whole: bool) {
        let mut state = self.state();
        if let Some(kept) = &mut state.kept {
            kept.complete |= whole;
        }
        state.ended = Some(Instant::now());
        state.watch = Watch::Own;
        drop(state);
        self.ended.notify_waiters();
    }
}

/// The body as it is sent.
#[derive(Debug)]
pub(crate) struct Sending {
    body: Body,
    upload: Option<Arc<Upload>>,
    welcome: Option<Welcome>,
    stalled: Option<Pin<Box<Sleep>>>,
    stall_time: Duration,
    /// Where the rest is read where whoever it was sent to did not want it.
    rest: Option<Group>,
}

impl Sending {
    /// A body of a client that may stall for so long.
    pub(crate) fn new(body: Body, stall_time: Duration) -> Self {
        Self {
            body,
            upload: None,
            welcome: None,
            stalled: None,
            stall_time,
            rest: None,
        }
    }

    /// Keeps the whole body though whoever gets it may drop it half way: what is left is read in a task of this group.
    pub(crate) fn keep_rest(&mut self, tasks: &Group) {
        self.rest = Some(tasks.clone());
    }

    /// The same as [`Self::watch`] for one who looks after the body meanwhile ([`Upload::standing`]).
    pub(crate) fn looked_after(&mut self, keep: Option<(u64, &Room)>, since: Instant) -> Option<Arc<Upload>> {
        let upload = self.watch(keep)?;
        upload.state().watch = Watch::Caller {
            heard: since,
            reader: None,
        };
        Some(upload)
    }

    /// Tells of the body's end, and keeps it up to so many bytes. `None` where there is no body.
    pub(crate) fn watch(&mut self, keep: Option<(u64, &Room)>) -> Option<Arc<Upload>> {
        if self.body.is_end_stream() {
            return None;
        }
        let announced = self.body.size_hint().lower();
        let kept = keep
            .filter(|(most, _)| announced <= *most)
            .map(|(most, room)| Kept {
                so_far: Whole::new(room, 0),
                announced: usize::try_from(announced).unwrap_or(0),
                most,
                complete: false,
            });
        let upload = Arc::new(Upload {
            state: Mutex::new(State {
                ended: None,
                broke_off: false,
                kept,
                watch: Watch::Own,
            }),
            ended: Notify::new(),
        });
        self.upload = Some(upload.clone());
        Some(upload)
    }

    /// Sends nothing before it hears that it is welcome, or the body comes unasked.
    pub(crate) fn await_welcome(&mut self, unasked: Option<Unasked>) -> oneshot::Sender<()> {
        let (tell, told) = oneshot::channel();
        self.welcome = Some(Welcome {
            unasked: unasked.map(|unasked| Box::pin(unasked.come()) as Coming),
            told: Some(told),
            time: Box::pin(sleep(WELCOME_TIME)),
        });
        tell
    }

    fn end(&mut self, whole: bool) {
        if let Some(upload) = self.upload.take() {
            upload.end(whole);
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        match self.rest.take() {
            // Outside a runtime there is nobody to read it.
            Some(tasks) if upload.wants_rest(1) && Handle::try_current().is_ok() => {
                let mut rest = Self::new(std::mem::take(&mut self.body), self.stall_time);
                rest.upload = Some(upload.clone());
                tasks.spawn(TaskKind::Connection, async move {
                    while upload.wants_rest(2) && matches!(rest.frame().await, Some(Ok(_))) {}
                });
            }
            Some(_) | None => upload.end(false),
        }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(welcome) = &mut this.welcome {
            if !ready!(welcome.poll(cx)) {
                return Poll::Ready(Some(Err("the upstream answered without the body".into())));
            }
            this.welcome = None;
        }
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let upload = this.upload.as_ref();
                if upload.is_some_and(|upload| upload.looked_after(cx.waker())) {
                    return Poll::Pending;
                }
                let limit = this.stall_time;
                let stalled = this.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
                ready!(stalled.as_mut().poll(cx));
                return Poll::Ready(Some(Err("the client stopped sending".into())));
            }
        };
        if let Some(stalled) = &mut this.stalled {
            stalled.as_mut().reset(Instant::now() + this.stall_time);
        }
        match &frame {
            None => this.end(true),
            Some(Ok(frame)) => {
                if let (Some(upload), Some(data)) = (&this.upload, frame.data_ref()) {
                    upload.take(data);
                }
                if this.body.is_end_stream() {
                    this.end(true);
                }
            }
            Some(Err(_)) => {
                if let Some(upload) = &this.upload {
                    upload.state().broke_off = true;
                }
                this.end(false);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The first byte of a body that nobody asked for yet.
type Coming = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether a body is welcome.
struct Welcome {
    unasked: Option<Coming>,
    told: Option<oneshot::Receiver<()>>,
    time: Pin<Box<Sleep>>,
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

impl Welcome {
    /// Ready once that is known, or has to be supposed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if let Some(unasked) = &mut self.unasked
            && self.told.is_some()
            && unasked.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(true);
        }
        if let Some(told) = &mut self.told {
            match Pin::new(told).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => {
                    // Its final answer is there, and may not have been read to its end.
                    self.told = None;
                    self.time.as_mut().reset(Instant::now() + UNWANTED_TIME);
                }
                Poll::Pending => {}
            }
        }
        ready!(self.time.as_mut().poll(cx));
        Poll::Ready(self.told.is_some())
    }
}

#[cfg(test)]
mod tests;
