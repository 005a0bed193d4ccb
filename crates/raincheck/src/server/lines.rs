//! Reading a request's body line by line, however long it is.
//!
//! Invariants: of a body that has any number of lines no more is held than one line and what the connection has read; a
//! line that is longer than its limit is skipped without being kept; the last line counts without an end of its own only
//! where the body ends well.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;

use super::body::{BodyError, BodyPace, Pacer};
use crate::room::{Part, Room};

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A line that is not blank, without its end and the white space around it.
    Line(Bytes),
    /// A line that was too long.
    TooLong,
    /// Nothing more is there just now: the next call waits.
    Pause,
}

/// The lines of a body.
#[derive(Debug)]
pub struct Lines<B> {
    body: Pin<Box<B>>,
    pacer: Pacer,
    line_max: u64,
    /// What was read and is not a whole line yet, or several.
    read: BytesMut,
    /// How much of it is known to hold no end of a line.
    searched: usize,
    skipping: bool,
    paused: bool,
    ended: bool,
    part: Part,
}

impl<B: Body<Data = Bytes>> Lines<B> {
    /// The lines of this body, each at most so many bytes long.
    pub fn new(body: B, line_max: u64, pace: BodyPace, room: &Room) -> Self {
        Self {
            body: Box::pin(body),
            pacer: Pacer::new(pace),
            line_max,
            read: BytesMut::new(),
            searched: 0,
            skipping: false,
            paused: false,
            ended: false,
            part: room.part(),
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the body comes too slowly or breaks off; the line that it broke off in is not given.
    ///
    /// # Cancel safety
    /// Safe: what was read is kept.
    pub async fn next(&mut self) -> Result<Option<Piece>, BodyError> {
        loop {
            if let Some(piece) = self.cut() {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            let body = &mut self.body;
            let there = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
                Poll::Pending => Poll::Ready(None),
                Poll::Ready(frame) => Poll::Ready(Some(frame)),
            });
            let frame = match there.await {
                Some(frame) => frame.transpose().map_err(|_| BodyError::Broken)?,
                None if !std::mem::replace(&mut self.paused, true) => return Ok(Some(Piece::Pause)),
                None => self.pacer.next(self.body.as_mut()).await?,
            };
            self.paused = false;
            match frame.map(http_body::Frame::into_data) {
                Some(Ok(data)) => {
                    self.pacer.bytes += data.len() as u64;
                    self.part.hold((self.read.len() + data.len()) as u64)?;
                    self.read.extend_from_slice(&data);
                }
                // Trailers are of no use here.
                Some(Err(_)) => {}
                None => self.ended = true,
            }
        }
    }

    /// The next whole line of what was read.
    fn cut(&mut self) -> Option<Piece> {
        loop {
            let end = self.read[self.searched..].iter().position(|b| *b == b'\n');
            let line = match end {
                Some(end) => {
                    let line = self.read.split_to(self.searched + end);
                    self.read.advance(1);
                    line
                }
                None if self.ended && !self.read.is_empty() => self.read.split(),
                None => {
                    self.searched = self.read.len();
                    if self.searched as u64 > self.line_max {
                        self.skipping = true;
                        self.read.clear();
                        self.searched = 0;
                    }
                    let cut_off = self.ended && std::mem::take(&mut self.skipping);
                    return cut_off.then_some(Piece::TooLong);
                }
            };
            self.searched = 0;
            if std::mem::take(&mut self.skipping) || line.len() as u64 > self.line_max {
                return Some(Piece::TooLong);
            }
            let line = line.trim_ascii();
            if !line.is_empty() {
                // A copy: a slice would keep the whole buffer.
                return Some(Piece::Line(Bytes::copy_from_slice(line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use http_body::Frame;
    use tokio::sync::mpsc;

    use super::*;

    /// A body that is fed by hand; an empty piece breaks it off.
    struct Fed(mpsc::Receiver<&'static str>);

    impl Body for Fed {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            self.0.poll_recv(cx).map(|piece| {
                piece.map(|piece| match piece {
                    "" => Err("broken off"),
                    piece => Ok(Frame::data(Bytes::from_static(piece.as_bytes()))),
                })
            })
        }
    }

    async fn all(pieces: &[&'static str], line_max: u64) -> (Vec<String>, bool) {
        let (feed, body) = mpsc::channel(64);
        for piece in pieces {
            feed.send(*piece).await.unwrap();
        }
        drop(feed);
        let mut lines = Lines::new(Fed(body), line_max, BodyPace::default(), &Room::new(1_000));
        let mut told = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(Piece::Line(line))) => told.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(Some(Piece::TooLong)) => told.push("too long".to_owned()),
                Ok(Some(Piece::Pause)) => {}
                Ok(None) => return (told, true),
                Err(_) => return (told, false),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_they_are_sent_in_two() {
        for pieces in [
            &["one\ntwo\r\n\n  \n three"][..],
            &["o", "ne\n", "two\r", "\n", "\n", "  \n three"],
            &["one\ntwo\n", "three\n"],
        ] {
            let (told, well) = all(pieces, 100).await;
            assert_eq!(
                (told, well),
                (["one", "two", "three"].map(String::from).to_vec(), true)
            );
        }
        assert_eq!(all(&[], 9).await, (Vec::new(), true));
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped_alone() {
        for pieces in [
            &["1234\n12345\n6"][..],
            &["1234\n123", "45\n6"],
            &["1234\n12345", "67", "89", "\n6"],
        ] {
            let (told, _) = all(pieces, 4).await;
            assert_eq!(told, ["1234", "too long", "6"], "{pieces:?}");
        }
        assert_eq!(all(&["1\n23456"], 4).await.0, ["1", "too long"]);
        assert_eq!(all(&["1\n23456", "7"], 4).await.0, ["1", "too long"]);
    }

    #[tokio::test]
    async fn of_a_body_that_breaks_off_whole_lines_are_taken() {
        let (told, well) = all(&["one\ntw", ""], 100).await;
        assert_eq!((told, well), (vec!["one".to_owned()], false));
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_is_told_before_it_has_to_wait() {
        let (feed, body) = mpsc::channel(64);
        let mut lines = Lines::new(Fed(body), 100, BodyPace::default(), &Room::new(1_000));
        feed.send("one\ntw").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), Some(Piece::Line("one".into())));
        assert_eq!(lines.next().await.unwrap(), Some(Piece::Pause));
        let fed = async { feed.send("o\n").await.unwrap() };
        let (next, ()) = tokio::join!(lines.next(), fed);
        assert_eq!(next.unwrap(), Some(Piece::Line("two".into())));
        assert_eq!(lines.next().await.unwrap(), Some(Piece::Pause));
        assert!(
            matches!(lines.next().await, Err(BodyError::TooSlow)),
            "5 s and no more"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_the_reader_takes_is_not_the_senders() {
        let (feed, body) = mpsc::channel(64);
        let mut lines = Lines::new(Fed(body), 100, BodyPace::default(), &Room::new(1_000));
        for _ in 0..4 {
            feed.send("one\n").await.unwrap();
            assert!(matches!(lines.next().await, Ok(Some(Piece::Line(_)))));
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        }
    }
}
