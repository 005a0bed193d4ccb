//! Connections that are kept, against services that keep, close, stall and stay silent.

use super::*;
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::pause;

/// Answers one request.
async fn answer(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    stream.write_all(answer).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_used_again_until_nobody_uses_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let place = Place::open(address.parse().unwrap(), &Trust::default());
    let asked = async || {
        let request = Request::get("/").header("host", "a");
        let answer = place.ask(request.body(Full::<Bytes>::default()).unwrap());
        let body = answer.await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
    };
    let (mut stream, ()) = tokio::join!(
        async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream).await;
            stream
        },
        asked()
    );
    tokio::join!(answer(&mut stream), asked());
    pause();
    let closed = timeout(IDLE_TIMEOUT * 2, stream.read_u8()).await;
    let closed = closed.expect("it is closed in time").unwrap_err();
    assert_eq!(closed.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(
        !place.0.idle().swept,
        "nobody looks after connections that are not there"
    );
}

/// A body without end, of which somebody hears when it is dropped.
struct Endless(#[expect(dead_code, reason = "it is dropped with this")] oneshot::Sender<()>);

impl Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 16 << 10])))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_answered_takes_the_rest_in_time_or_loses_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let place = Place::open(address.parse().unwrap(), &Trust::default());
    let (kept, dropped) = oneshot::channel();
    let request = Request::post("/")
        .header("host", "a")
        .body(Endless(kept))
        .unwrap();
    // It answers, reads nothing more, and stays.
    let (_side, answered) = tokio::join!(
        async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream).await;
            stream
        },
        place.ask(request)
    );
    let body = answered.unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
    let ended = timeout(REST_TIME * 2, dropped).await;
    assert!(ended.is_ok_and(|told| told.is_err()), "it is let go of in time");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}/", listener.local_addr().unwrap());
    let place = Place::open(address.parse().unwrap(), &Trust::default());
    let request = Request::post("/").body(Full::<Bytes>::default()).unwrap();
    let silent = async {
        // It takes the connection, and says nothing.
        let _side = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    };
    let asked = timeout(Duration::from_secs(60), place.ask(request));
    let failed = tokio::select! {
        failed = asked => failed.expect("it is given up in time").err(),
        () = silent => unreachable!("it is silent for ever"),
    };
    assert!(matches!(failed, Some(AskFailed::Connect(_))), "{failed:?}");
    assert!(place.away().is_some(), "what is for it waits");
}

#[tokio::test]
async fn while_a_service_is_away_one_that_can_wait_tries_at_a_time() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let place = Place::open(format!("http://{address}/").parse().unwrap(), &Trust::default());
    let ask = || place.ask(Request::get("/").body(Full::<Bytes>::default()).unwrap());
    assert!(matches!(place.turn(), Ok(None)), "nothing is known yet");
    ask().await.err().unwrap();
    let turn = place.turn().ok().flatten().expect("one may try");
    let held = place.turn().err().expect("no other may");
    assert!(held.why.contains("refused"), "{held:?}");
    drop(turn);
    let turn = place.turn().ok().flatten().expect("the next may");
    let listener = socket.listen(1).unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream).await;
    };
    let ((), answered) = tokio::join!(serving, ask());
    assert!(answered.is_ok() && matches!(place.turn(), Ok(None)), "all may");
    drop(turn);
}

#[test]
fn a_process_without_files_says_nothing_of_the_service() {
    let failed = |code: i32| AskFailed::Connect(Box::new(std::io::Error::from_raw_os_error(code)));
    assert!(own_fault(&failed(Errno::MFILE.raw_os_error())));
    assert!(own_fault(&failed(Errno::NFILE.raw_os_error())));
    assert!(!own_fault(&failed(Errno::CONNREFUSED.raw_os_error())));
}
