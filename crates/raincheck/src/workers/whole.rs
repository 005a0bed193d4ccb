//! Reading an answer whole, which is to be a result.
//!
//! Invariant: no more is ever held of it than a result may have, and beyond what is small no more of all of them than there is
//! room: who comes with more is not read until there is (its sender waits; the attempt's time bounds that).

use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::outward::root_cause;
use crate::room::{Room, Whole};

/// A result of so many bytes needs no room: as many of those as there are attempts are little.
pub(crate) const SMALL: u64 = 64 << 10;

/// Why an answer was not read whole.
#[derive(Debug)]
pub(super) enum Unread {
    TooLarge,
    BrokenOff { after: u64, why: String },
}

/// Reads at most so many bytes, and shows them as they come.
///
/// # Errors
/// When there are more, or it breaks off.
pub(super) async fn read<B>(
    body: B,
    max: u64,
    room: &Room,
    mut shown: impl FnMut(&[u8]),
) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes>,
    B::Error: Error + 'static,
{
    let announced = body.size_hint().lower();
    if announced > max {
        return Err(Unread::TooLarge);
    }
    let mut body = pin!(body);
    let mut whole: Option<Whole> = None;
    while let Some(frame) = body.frame().await {
        let so_far = whole.as_ref().map_or(0, |whole| whole.bytes().len());
        let frame = frame.map_err(|error| Unread::BrokenOff {
            after: so_far as u64,
            why: root_cause(&error),
        })?;
        // A result has no trailers.
        let Ok(data) = frame.into_data() else { continue };
        if (so_far + data.len()) as u64 > max {
            return Err(Unread::TooLarge);
        }
        shown(&data);
        let whole = match &mut whole {
            Some(whole) => whole,
            // A part of it would keep all that was read with it.
            None if body.is_end_stream() => return Ok(Bytes::copy_from_slice(&data)),
            none @ None => {
                let mut begun = Whole::new(room, SMALL);
                // Grown by halves and wholes it would take twice as much on its way.
                let announced = usize::try_from(announced).unwrap_or(0);
                begun.reserve_when_there(announced.max(data.len())).await;
                none.insert(begun)
            }
        };
        whole.reserve_when_there(data.len()).await;
        whole.push(&data);
    }
    Ok(whole.map_or_else(Bytes::new, Whole::end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    /// A body in pieces of this size.
    fn body(bytes: usize, piece: usize) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
        let mut whole: Pin<Box<dyn Body<Data = Bytes, Error = std::convert::Infallible>>> =
            Box::pin(Full::new(Bytes::new()));
        for _ in 0..bytes / piece {
            whole = Box::pin(Chain(Full::new(Bytes::from(vec![b'x'; piece])), whole));
        }
        whole
    }

    /// One frame before the rest.
    struct Chain<B>(Full<Bytes>, B);

    impl<B: Body<Data = Bytes, Error = std::convert::Infallible> + Unpin> Body for Chain<B> {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            match Pin::new(&mut self.0).poll_frame(cx) {
                Poll::Ready(None) => Pin::new(&mut self.1).poll_frame(cx),
                frame @ (Poll::Ready(Some(_)) | Poll::Pending) => frame,
            }
        }
    }

    fn polled<F: Future>(reading: &mut Pin<Box<F>>) -> Poll<F::Output> {
        reading.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn an_answer_is_read_whole_and_shown_as_it_comes() {
        let mut shown = 0;
        let room = Room::new(1 << 20);
        let read = read(body(300_000, 100_000), 300_000, &room, |data| shown += data.len());
        assert_eq!(read.await.unwrap().len(), 300_000);
        assert_eq!(shown, 300_000);
    }

    #[tokio::test]
    async fn one_byte_more_than_a_result_may_have_is_too_large() {
        let room = Room::new(1 << 20);
        let announced = read(Full::new(Bytes::from_static(b"12345")), 4, &room, |_| {});
        assert!(matches!(announced.await, Err(Unread::TooLarge)));
        let told = read(body(5, 1), 4, &room, |_| {});
        assert!(matches!(told.await, Err(Unread::TooLarge)));
        assert_eq!(read(body(4, 1), 4, &room, |_| {}).await.unwrap(), "xxxx");
    }

    #[tokio::test]
    async fn answers_wait_for_room_until_the_results_before_them_are_gone() {
        let room = Room::new(100 << 10);
        let reading = || Box::pin(read(body(96 << 10, 48 << 10), 1 << 20, &room, |_| {}));
        let Poll::Ready(Ok(first)) = polled(&mut reading()) else {
            panic!("there is room for one");
        };
        // One goes on beyond what there is, so that no two wait for each other.
        let Poll::Ready(Ok(second)) = polled(&mut reading()) else {
            panic!("one may go on");
        };
        let mut third = reading();
        assert!(polled(&mut third).is_pending());
        let small = Box::pin(read(body(64 << 10, 1 << 10), 1 << 20, &room, |_| {})).await;
        assert_eq!(small.unwrap().len(), 64 << 10, "what is small needs no room");
        drop(second);
        let Poll::Ready(Ok(third)) = polled(&mut third) else {
            panic!("the one before is gone");
        };
        assert_eq!((first.len(), third.len()), (96 << 10, 96 << 10));
    }
}
