//! Bodies that are fed by hand: what is kept of them, who looks after them, when they are given up.

use super::*;
use std::convert::Infallible;
use tokio::sync::mpsc;

/// A body that is fed by hand.
struct Fed(mpsc::Receiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn fed(limit: Duration) -> (mpsc::Sender<Bytes>, Sending) {
    let (feed, body) = mpsc::channel(1);
    (feed, Sending::new(Body::new(Fed(body)), limit))
}

fn sending(text: &'static str) -> Sending {
    Sending::new(Body::from(text), Duration::from_secs(1))
}

#[tokio::test]
async fn a_body_is_kept_while_it_is_sent() {
    let room = Room::new(100);
    let mut body = sending("rain");
    let upload = body.watch(Some((4, &room))).unwrap();
    assert_eq!(upload.kept(), None, "nothing was sent yet");
    assert_eq!(body.collect().await.unwrap().to_bytes(), "rain");
    upload.ended().await;
    assert_eq!(upload.kept().unwrap(), "rain");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_sent_all_the_same() {
    for (most, room) in [(3, 100), (100, 3)] {
        let mut body = sending("rain");
        let upload = body.watch(Some((most, &Room::new(room)))).unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "rain");
        upload.ended().await;
        assert_eq!(upload.kept(), None);
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_has_ended_and_was_not_kept() {
    let mut body = sending("rain");
    let upload = body.watch(Some((100, &Room::new(100)))).unwrap();
    drop(body);
    upload.ended().await;
    assert_eq!(upload.kept(), None);
    assert!(sending("").watch(None).is_none(), "there is no body");
}

#[tokio::test]
async fn what_is_left_of_a_body_that_nobody_wanted_is_kept_where_that_was_asked() {
    let mut body = sending("rain");
    body.keep_rest(&Group::new("test"));
    let upload = body.watch(Some((4, &Room::new(100)))).unwrap();
    drop(body);
    upload.ended().await;
    assert_eq!(upload.kept().unwrap(), "rain");
    let mut body = sending("rain");
    body.keep_rest(&Group::new("test"));
    let upload = body.watch(Some((3, &Room::new(100))));
    drop(body);
    let upload = upload.unwrap();
    upload.ended().await;
    assert_eq!(upload.kept(), None, "it is too large");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_answer_looks_after_the_body() {
    let limit = Duration::from_secs(1);
    let (feed, mut body) = fed(limit);
    let upload = body.looked_after(None, Instant::now()).unwrap();
    let due = Standing::Until(Instant::now() + limit);
    assert_eq!(upload.standing(limit), due);
    tokio::time::advance(limit).await;
    assert_eq!(upload.standing(limit), Standing::Untaken, "nobody reads it");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
    assert_eq!(upload.standing(limit), Standing::Stalled, "nobody sends it");
    feed.send(Bytes::from_static(b"rain")).await.unwrap();
    assert!(body.frame().await.is_some());
    assert_eq!(upload.standing(limit), Standing::Until(Instant::now() + limit));
    drop(feed);
    assert!(body.frame().await.is_none());
    assert_eq!(upload.standing(limit), Standing::Until(Instant::now() + limit));
    tokio::time::advance(limit).await;
    assert_eq!(upload.standing(limit), Standing::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_left_alone_gives_itself_up() {
    let (_feed, mut body) = fed(Duration::from_secs(1));
    let upload = body.looked_after(None, Instant::now()).unwrap();
    let left = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        upload.leave_alone();
    };
    let begun = Instant::now();
    let (frame, ()) = tokio::join!(body.frame(), left);
    assert!(frame.unwrap().is_err());
    assert_eq!(begun.elapsed().as_secs(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_body_waits_until_it_is_welcome_but_not_for_ever() {
    let mut body = sending("rain");
    let tell = body.await_welcome(None);
    let begun = Instant::now();
    tell.send(()).unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "rain");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let mut body = sending("rain");
    let _tell = body.await_welcome(None);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "rain");
    assert_eq!(begun.elapsed().as_secs(), 1);
    let mut body = sending("rain");
    drop(body.await_welcome(None));
    assert!(body.collect().await.is_err(), "answered without it");
}
