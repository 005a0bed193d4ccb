//! Requests to any place, each on connections that are kept for it (`kept`): what fetches ask.
//!
//! Invariants: which addresses may be reached is the connector's matter, for each connection that is made; a place that nobody asks and
//! that has no connection is forgotten.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::Full;

use super::connect::Connector;
use super::kept::{Answer, AskFailed, Place};
use super::target::Targets;
use super::trust::Trust;
use crate::hashing::Map;

/// From so many places on, those that can be are forgotten.
const SWEEP_MIN: usize = 64;

/// The body of an answer; once it is read, its connection is there for others.
pub(crate) type Answered = Answer<Full<Bytes>>;

/// See the module. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    connector: Connector,
    known: Mutex<Known>,
}

struct Known {
    /// By authority: those that are asked in the clear, and by TLS.
    plain: Map<Box<str>, Place<Full<Bytes>>>,
    tls: Map<Box<str>, Place<Full<Bytes>>>,
    /// Where there are so many of either, it is looked which of them can be forgotten.
    sweep_at: usize,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

impl Places {
    /// For URLs that came over the API.
    pub(crate) fn guarded(targets: &Arc<Targets>, trust: &Trust) -> Self {
        Self(Arc::new(Inner {
            connector: Connector::new(Some(targets.clone()), trust),
            known: Mutex::new(Known {
                plain: Map::default(),
                tls: Map::default(),
                sweep_at: SWEEP_MIN,
            }),
        }))
    }

    /// Sends a request to where its URL leads, and waits for the head of the answer. It is made anew, and sent once more on a new connection,
    /// where the one that was kept turned out to have closed: for what may be asked twice, without a body.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn ask(
        &self,
        make: impl Fn() -> Request<Full<Bytes>>,
    ) -> Result<Response<Answered>, AskFailed> {
        let (place, request) = self.placed(make());
        match place.ask(request).await {
            // In a box, so that what finds a connection is no larger for it.
            Err(AskFailed::Closed(_)) => Box::pin(place.ask_anew(Box::new(self.placed(make()).1))).await,
            answered => answered,
        }
    }

    /// Where a request goes, and the request as it is seen there: as by a server that is no proxy (RFC 9112 section 3.2.1).
    fn placed(&self, mut request: Request<Full<Bytes>>) -> (Place<Full<Bytes>>, Request<Full<Bytes>>) {
        let place = self.place(request.uri());
        let seen = request.uri().path_and_query().cloned();
        *request.uri_mut() = seen.map_or_else(Uri::default, Uri::from);
        (place, request)
    }

    fn place(&self, uri: &Uri) -> Place<Full<Bytes>> {
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let authority = uri.authority().map_or("", Authority::as_str);
        // Nothing under this lock can panic half way.
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known {
            plain,
            tls: encrypted,
            sweep_at,
        } = &mut *known;
        let places = if tls { encrypted } else { plain };
        if let Some(place) = places.get(authority) {
            return place.clone();
        }
        if places.len() >= *sweep_at {
            places.retain(|_, place| place.in_use());
            *sweep_at = (2 * places.len()).max(SWEEP_MIN);
        }
        let place = Place::through(address(uri), self.0.connector.clone());
        places.insert(authority.into(), place.clone());
        place
    }
}

/// Scheme and authority.
fn address(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    fn places() -> Places {
        Places::guarded(&Arc::new(Targets::anywhere()), &Trust::default())
    }

    fn known(places: &Places) -> usize {
        let known = places.0.known.lock().unwrap();
        known.plain.len() + known.tls.len()
    }

    #[test]
    fn a_place_is_told_by_scheme_host_and_port() {
        let places = places();
        for (url, count) in [
            ("http://a/x", 1),
            ("http://a/y?z", 1),
            ("https://a/", 2),
            ("http://a:8080/", 3),
            ("http://b/", 4),
        ] {
            places.place(&url.parse().unwrap());
            assert_eq!(known(&places), count, "{url}");
        }
    }

    #[test]
    fn places_that_nobody_uses_are_forgotten() {
        let places = places();
        let used = places.place(&"http://used/".parse().unwrap());
        for n in 0..10 * SWEEP_MIN {
            places.place(&format!("http://host{n}/").parse().unwrap());
            assert!(known(&places) <= 2 * SWEEP_MIN);
        }
        let known = places.0.known.lock().unwrap();
        assert!(known.plain.contains_key("used"));
        drop(used);
    }

    async fn read_head(stream: &mut TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"GET /x?y HTTP/1.1\r\n"), "{head:?}");
    }

    async fn answer(stream: &mut TcpStream) {
        read_head(stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    }

    #[tokio::test]
    async fn a_kept_connection_that_closes_without_an_answer_is_replaced_once_and_a_new_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x?y", listener.local_addr().unwrap());
        let places = places();
        let ask = async || {
            let make = || Request::get(&url).body(Full::default()).unwrap();
            let body = places.ask(make).await?.into_body();
            assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
            Ok::<_, AskFailed>(())
        };
        let serve = async {
            let (mut first, _) = listener.accept().await.unwrap();
            answer(&mut first).await;
            read_head(&mut first).await;
            drop(first);
            let (mut second, _) = listener.accept().await.unwrap();
            answer(&mut second).await;
            read_head(&mut second).await;
            drop(second);
            let (mut third, _) = listener.accept().await.unwrap();
            read_head(&mut third).await;
        };
        let asked = async {
            ask().await.unwrap();
            ask().await.unwrap();
            ask().await.unwrap_err();
        };
        tokio::join!(serve, asked);
    }
}
