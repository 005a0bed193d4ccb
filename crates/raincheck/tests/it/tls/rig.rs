//! An authority of a test's own, and clients that trust it alone.

use std::error::Error;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Body;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use raincheck::tasks::{Group, TaskKind};

/// Nothing here takes longer, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate that vouches for itself, and its key, in files.
pub(crate) struct Authority {
    folder: TempDir,
    roots: RootCertStore,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = KeyPair::generate().expect("a key can be made");
        let names = ["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()];
        let params = CertificateParams::new(names).expect("names a certificate can hold");
        let cert = params.self_signed(&key).expect("a certificate can be made");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a root that can be trusted");
        std::fs::write(folder.path().join("cert.pem"), cert.pem()).expect("a file can be written");
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).expect("a file can be written");
        Self { folder, roots }
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

/// A connection whose handshake has not begun, after these bytes.
pub(crate) async fn plain(addr: SocketAddr, begun: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("the server listens");
    stream.write_all(begun).await.expect("a socket takes a few bytes");
    stream
}

/// A connection that offers these protocols.
pub(crate) async fn secure(
    addr: SocketAddr,
    authority: &Authority,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS")
        .with_root_certificates(authority.roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = plain(addr, b"").await;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate that the server showed.
pub(crate) fn presented(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let shown = stream.get_ref().1.peer_certificates();
    shown
        .and_then(<[_]>::first)
        .expect("the server showed one")
        .to_vec()
}

/// Says this and hears until the server closes.
pub(crate) async fn say(stream: &mut TlsStream<TcpStream>, text: &str) -> String {
    stream
        .write_all(text.as_bytes())
        .await
        .expect("the server listens");
    let mut heard = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard));
    reading
        .await
        .expect("the server answers in time")
        .expect("the connection closes well");
    String::from_utf8(heard).expect("this answer is text")
}

/// Waits until the server has closed the connection.
pub(crate) async fn ended(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut waste = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut waste))
        .await
        .expect("the server closes in time");
}

/// An HTTP/2 client, and what is done when its connection is.
pub(crate) async fn http2<B>(
    addr: SocketAddr,
    authority: &Authority,
) -> (SendRequest<B>, oneshot::Receiver<()>)
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (client, connection) = http2_by_hand(addr, authority, None).await;
    let (tell, told) = oneshot::channel();
    Group::new("client").spawn(TaskKind::Errand, async move {
        let _ = connection.await;
        let _ = tell.send(());
    });
    (client, told)
}

/// An HTTP/2 client that takes so many bytes of an answer before it asks for more, and its connection, which lasts while it is
/// polled and ends without a word where it is dropped.
pub(super) async fn http2_by_hand<B>(
    addr: SocketAddr,
    authority: &Authority,
    window: Option<u32>,
) -> (
    SendRequest<B>,
    impl Future<Output = hyper::Result<()>> + Send + use<B>,
)
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stream = secure(addr, authority, &["h2", "http/1.1"])
        .await
        .expect("the server speaks TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let shaking = builder.handshake(TokioIo::new(stream));
    shaking.await.expect("the server speaks HTTP/2")
}
