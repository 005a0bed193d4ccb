//! Reading a request's body: bounded in size and paced in time.
//!
//! Invariants: nothing is kept of a body that announces more than its limit; a body that stalls or trickles is given
//! up, one that keeps its pace may take as long as it likes; what is handed out is a copy, for a slice would keep
//! the connection's whole read buffer alive and halve the rate.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::Instant;

use crate::room::{Full, Room, Whole};

/// How slow a body may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPace {
    /// For so long any pace is fine.
    pub grace: Duration,
    /// From then on, at least so many bytes per second that is waited for them, on average.
    pub bytes_per_second: u64,
}

impl Default for BodyPace {
    /// 1 KiB/s after 5 s.
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            bytes_per_second: 1 << 10,
        }
    }
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is, or announces, more than the limit.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It came too slowly.
    #[error("the body came too slowly")]
    TooSlow,
    /// It broke off or is malformed.
    #[error("the body is incomplete or malformed")]
    Broken,
    /// Bodies that others are sending take all the memory that there is for them.
    #[error("there is no room for the body")]
    NoRoom,
}

impl From<Full> for BodyError {
    fn from(_: Full) -> Self {
        Self::NoRoom
    }
}

/// The most that is reserved on the word of a `Content-Length` alone.
const RESERVE_MAX: u64 = 64 << 10;

/// Reads the whole body, at most `limit` bytes.
///
/// # Errors
/// See [`BodyError`]. The rest of the body is unread then, and the connection of no further use.
///
/// # Cancel safety
/// Not safe: what was read is lost with the future.
pub async fn read_body<B>(body: B, limit: u64, pace: BodyPace, room: &Room) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    let announced = body.size_hint().lower();
    if announced > limit {
        return Err(BodyError::TooLarge { limit });
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut body = pin!(body);
    let mut reader = Pacer::new(pace);
    // Most bodies come in one piece, and take none.
    let mut whole = None;
    while let Some(frame) = reader.next(body.as_mut()).await? {
        // Trailers are of no use here.
        let Ok(data) = frame.into_data() else { continue };
        reader.bytes += data.len() as u64;
        if reader.bytes > limit {
            return Err(BodyError::TooLarge { limit });
        }
        let so_far = match &mut whole {
            Some(so_far) => so_far,
            None if body.is_end_stream() || announced == data.len() as u64 => {
                return Ok(Bytes::copy_from_slice(&data));
            }
            None => {
                let mut begun = Whole::new(room, 0);
                let reserve = announced.min(RESERVE_MAX).max(data.len() as u64);
                begun.reserve(usize::try_from(reserve).unwrap_or(0))?;
                whole.insert(begun)
            }
        };
        so_far.reserve(data.len())?;
        so_far.push(&data);
    }
    Ok(whole.map_or_else(Bytes::new, Whole::end))
}

/// Gives up on a body that falls behind its pace.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: BodyPace,
    /// What has come so far.
    pub(super) bytes: u64,
    /// How long it was waited for. Time that the reader takes is not the sender's.
    waited: Duration,
}

impl Pacer {
    pub(super) const fn new(pace: BodyPace) -> Self {
        Self {
            pace,
            bytes: 0,
            waited: Duration::ZERO,
        }
    }

    pub(super) async fn next<B>(
        &mut self,
        mut body: std::pin::Pin<&mut B>,
    ) -> Result<Option<http_body::Frame<Bytes>>, BodyError>
    where
        B: Body<Data = Bytes>,
    {
        let mut next = |cx: &mut Context<'_>| {
            let frame = body.as_mut().poll_frame(cx);
            frame.map(|frame| frame.transpose().map_err(|_| BodyError::Broken))
        };
        let ready = poll_fn(|cx| match next(cx) {
            Poll::Pending => Poll::Ready(None),
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
        });
        if let Some(frame) = ready.await {
            return frame;
        }
        let started = Instant::now();
        let earned = Duration::from_secs(self.bytes / self.pace.bytes_per_second.max(1));
        let left = (self.pace.grace + earned).saturating_sub(self.waited);
        let frame = tokio::time::timeout(left, poll_fn(next)).await;
        let frame = frame.map_err(|_| BodyError::TooSlow)?;
        self.waited += started.elapsed();
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::Full;
    use std::convert::Infallible;
    use tokio::sync::mpsc;

    /// A body that is fed by hand.
    struct Fed(mpsc::Receiver<Bytes>);

    impl Body for Fed {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0
                .poll_recv(cx)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn fed() -> (mpsc::Sender<Bytes>, Fed) {
        let (sender, receiver) = mpsc::channel(8);
        (sender, Fed(receiver))
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_by_its_announcement() {
        let body = Full::new(Bytes::from_static(b"12345"));
        assert!(matches!(
            read_body(body, 4, BodyPace::default(), &Room::new(1_000)).await,
            Err(BodyError::TooLarge { limit: 4 })
        ));
        let body = Full::new(Bytes::from_static(b"1234"));
        assert_eq!(
            read_body(body, 4, BodyPace::default(), &Room::new(1_000))
                .await
                .unwrap(),
            "1234"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_announces_nothing_is_cut_off_at_the_limit() {
        let (feed, body) = fed();
        for _ in 0..3 {
            feed.send(Bytes::from_static(b"xx")).await.unwrap();
        }
        assert!(matches!(
            read_body(body, 5, BodyPace::default(), &Room::new(1_000)).await,
            Err(BodyError::TooLarge { .. })
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_given_up_after_the_grace() {
        let (feed, body) = fed();
        feed.send(Bytes::from_static(b"x")).await.unwrap();
        let started = Instant::now();
        let read = read_body(body, 100, BodyPace::default(), &Room::new(1_000)).await;
        assert!(matches!(read, Err(BodyError::TooSlow)));
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        drop(feed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_its_pace_may_take_long() {
        let (feed, body) = fed();
        let started = Instant::now();
        let room = Room::new(1 << 20);
        let read = read_body(body, 1 << 20, BodyPace::default(), &room);
        let fed = async move {
            for _ in 0..60 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                feed.send(Bytes::from(vec![b'x'; 1 << 10])).await.unwrap();
            }
        };
        let (read, ()) = tokio::join!(read, fed);
        assert_eq!(read.unwrap().len(), 60 << 10);
        assert!(started.elapsed() >= Duration::from_secs(60));
    }
}
