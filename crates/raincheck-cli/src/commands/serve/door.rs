//! The addresses that the API is served on: taken before the store is opened, answering once the node runs.
//!
//! Invariants: a port is held from the moment it is announced until the last answer is given, so that nobody else
//! takes it in between; nothing but this machine's own addresses is listened on without a key and a safe way.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use raincheck::Node;
use raincheck::api::{ApiOptions, service_with};
use raincheck::proxy::{Front, Proxy};
use raincheck::server::{Exposed, Listener, Protection, ServerOptions, Tls, check_listen, serve};
use raincheck::tasks::{Group, TaskKind};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::systemd::{Inherited, inherited};
use crate::config::{Config, Listen, at};
use crate::exit::{Exit, Failed};

/// Where the server listens.
#[derive(Debug)]
enum Place {
    /// At an address that is still to be taken.
    Named(Listen),
    /// At one that was taken for it.
    Given(Inherited),
}

impl Place {
    /// The address, where it is one of a network.
    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Named(Listen::Tcp(address)) | Self::Given(Inherited::Tcp(_, address)) => Some(*address),
            Self::Named(Listen::Local(_)) | Self::Given(Inherited::Local(_)) => None,
        }
    }

    /// Takes it.
    async fn take(self) -> Result<Taken, Failed> {
        Ok(match self {
            Self::Named(Listen::Tcp(address)) => Taken::Tcp(bind(address).await?),
            Self::Given(Inherited::Tcp(listener, _)) => Taken::Tcp(TcpListener::from_std(listener)?),
            Self::Named(Listen::Local(path)) => Taken::Local {
                listener: bind_local(&path).await?,
                path: Some(path),
                made: true,
            },
            Self::Given(Inherited::Local(listener)) => {
                let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
                let listener = UnixListener::from_std(listener)?;
                Taken::Local {
                    listener,
                    path,
                    made: false,
                }
            }
        })
    }
}

/// A socket that is listened on.
enum Taken {
    Tcp(TcpListener),
    Local {
        listener: UnixListener,
        path: Option<PathBuf>,
        /// Whether the path is ours, to be removed at the end.
        made: bool,
    },
}

/// How the server is reached, and what protects it.
#[derive(Debug)]
pub(crate) struct Plan {
    places: Vec<Place>,
    exposed: Exposed,
    protection: Protection,
    /// Whether programs of this server are to reach it.
    programs: bool,
    /// What TLS is spoken with.
    pub(crate) tls: Option<Tls>,
}

impl Plan {
    /// Reads the settings and the certificate, and takes the sockets that were handed over: they stand for --listen.
    pub(crate) fn new(config: &Config, programs: bool) -> Result<Self, Failed> {
        let settings = &config.settings;
        let tls = tls(config)?;
        let mut places: Vec<Place> = inherited()?.into_iter().map(Place::Given).collect();
        if places.is_empty() {
            places.extend(settings.listen.iter().cloned().map(Place::Named));
        }
        Ok(Self {
            places,
            programs,
            protection: Protection {
                keys: false,
                tls: tls.is_some(),
                proxied: !settings.behind_proxy.is_empty(),
                insecure: settings.insecure_http,
            },
            exposed: Exposed {
                proxies: settings.behind_proxy.clone(),
            },
            tls,
        })
    }

    /// Whether others than this machine are served.
    pub(crate) fn public(&self) -> bool {
        let mut addresses = self.places.iter().filter_map(Place::address);
        addresses.any(|address| !address.ip().to_canonical().is_loopback()) || self.protection.proxied
    }

    /// Whether all addresses may be listened on, given whether there are keys.
    pub(crate) fn check(&self, keys: bool) -> Result<(), Failed> {
        let protection = Protection {
            keys,
            ..self.protection
        };
        for place in &self.places {
            // Behind a proxy it does not matter by what socket it comes.
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let address = place.address().unwrap_or(here);
            check_listen(address, protection)
                .map_err(|refused| Failed::usage(refused.to_string()).next(refused.way_out()))?;
        }
        Ok(())
    }

    /// Takes the addresses.
    pub(crate) async fn bind(mut self) -> Result<Bound, Failed> {
        let (mut listeners, mut sockets) = (Vec::new(), Vec::new());
        let (mut url, mut local, mut urls) = (None, None, Vec::new());
        let public = self.public();
        for place in std::mem::take(&mut self.places) {
            let listener = match place.take().await? {
                Taken::Tcp(listener) => {
                    let address = listener.local_addr()?;
                    let own = self.url(address);
                    urls.push(own.clone());
                    url.get_or_insert(own);
                    Listener::from(listener)
                }
                Taken::Local { listener, path, made } => {
                    let own = path.as_ref().map(|path| format!("unix:{}", path.display()));
                    urls.extend(own.clone());
                    local = local.or(own);
                    sockets.extend(path.filter(|_| made));
                    Listener::from(listener)
                }
            };
            listeners.push(match &self.tls {
                Some(tls) => listener.with_tls(tls.clone()),
                None => listener,
            });
        }
        let mut own_url = url.clone();
        if self.programs && !url.as_deref().is_some_and(|url| url.starts_with("http:")) {
            // No certificate covers a loopback address, and not every program can speak over a socket in the file system: they
            // have a port of their own, which only this machine reaches and which asks for keys as the others do.
            let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
            own_url = Some(format!("http://{}", listener.local_addr()?));
            listeners.push(Listener::from(listener));
        }
        Ok(Bound {
            listeners,
            url: url.or(local).unwrap_or_default(),
            urls,
            own_url,
            public,
            exposed: (public || self.tls.is_some()).then_some(self.exposed),
            tls: self.tls,
            sockets,
        })
    }

    /// The URL at an address that is taken.
    fn url(&self, address: SocketAddr) -> String {
        at(if self.tls.is_some() { "https" } else { "http" }, address)
    }
}

/// Addresses that are taken but do not answer yet: who connects has to wait.
#[derive(Debug)]
pub(crate) struct Bound {
    listeners: Vec<Listener>,
    /// The API's URL, with the port that it really is; `unix:PATH` where there is only a local socket.
    pub(crate) url: String,
    /// All addresses that are listened on, in their order.
    pub(crate) urls: Vec<String>,
    /// Where the programs that the server keeps alive reach it.
    pub(crate) own_url: Option<String>,
    /// Whether others than this machine are served.
    pub(crate) public: bool,
    /// What TLS is spoken with.
    pub(crate) tls: Option<Tls>,
    exposed: Option<Exposed>,
    sockets: Vec<PathBuf>,
}

/// A door that is open.
#[derive(Debug)]
pub(crate) struct Door {
    proxy: Option<Proxy>,
    group: Group,
    stop: CancellationToken,
    sockets: Vec<PathBuf>,
}

/// The certificate and its key, where they are said and are there.
fn tls(config: &Config) -> Result<Option<Tls>, Failed> {
    const NEXT: &str =
        "Give it a chain in PEM form and its private key: raincheck serve --tls-cert FILE --tls-key FILE";
    let missing = |said, other| {
        Failed::usage(format!(
            "{}: {other} is missing, and they go together",
            config.about(said)
        ))
        .next(NEXT)
    };
    match (&config.settings.tls_cert, &config.settings.tls_key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => {
            let refused = |error| Failed::usage(format!("{}: {error}", config.about("tls_cert"))).next(NEXT);
            Tls::open(cert, key).map(Some).map_err(refused)
        }
        (Some(_), None) => Err(missing("tls_cert", "tls_key")),
        (None, Some(_)) => Err(missing("tls_key", "tls_cert")),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failed> {
    TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == ErrorKind::AddrInUse {
            Failed::new(
                Exit::Conflict,
                format!("{address} is in use, perhaps by another raincheck serve"),
            )
            .next("Choose another address with --listen; --listen 127.0.0.1:0 takes a free port")
        } else {
            Failed::new(Exit::Failure, format!("cannot listen on {address}: {error}"))
                .next("Choose another address with --listen")
        }
    })
}

/// Takes a local socket, which only this user can open. One that a server left behind is replaced, one that answers is not.
async fn bind_local(path: &Path) -> Result<UnixListener, Failed> {
    let there = std::fs::symlink_metadata(path);
    if there.is_ok_and(|meta| meta.file_type().is_socket()) {
        if UnixStream::connect(path).await.is_ok() {
            let text = format!("{} is in use, perhaps by another raincheck serve", path.display());
            return Err(Failed::new(Exit::Conflict, text).next("Choose another path with --listen unix:PATH"));
        }
        std::fs::remove_file(path)?;
    }
    let cannot = |error: std::io::Error| {
        Failed::new(
            Exit::Failure,
            format!("cannot listen on {}: {error}", path.display()),
        )
        .next("Choose another path with --listen unix:PATH")
    };
    // Between the two calls others could connect, were they let: so nobody is, by a name that nobody knows.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let private = tempfile::Builder::new()
        .prefix(".raincheck-")
        .tempdir_in(folder)
        .map_err(cannot)?;
    let first = private.path().join("socket");
    let listener = UnixListener::bind(&first).map_err(cannot)?;
    std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o600)).map_err(cannot)?;
    std::fs::rename(&first, path).map_err(cannot)?;
    Ok(listener)
}

impl Bound {
    /// Begins to answer.
    pub(crate) fn open(self, node: &Node, mut options: ApiOptions, proxy: Option<Proxy>) -> Door {
        let (group, stop) = (Group::new("door"), CancellationToken::new());
        options.closed = !self.public;
        let server = ServerOptions {
            // An upstream is told who asks, also where that is this machine.
            exposed: self
                .exposed
                .or_else(|| proxy.as_ref().map(|_| Exposed::default())),
            interim: proxy.is_some(),
            mount: node.options().mount.clone(),
            ..ServerOptions::default()
        };
        match proxy.clone() {
            None => {
                let api = service_with(node.clone(), options);
                let serving = serve(self.listeners, api, server, stop.clone());
                group.spawn(TaskKind::Service, async move {
                    serving.await;
                });
            }
            Some(proxy) => {
                let front = Front::new(node.clone(), options, proxy);
                let serving = serve(self.listeners, front, server, stop.clone());
                group.spawn(TaskKind::Service, async move {
                    serving.await;
                });
            }
        }
        Door {
            proxy,
            group,
            stop,
            sockets: self.sockets,
        }
    }
}

impl Door {
    /// Takes no new connections, finishes the answers under way and returns; in bounded time.
    pub(crate) async fn close(&self) {
        for socket in &self.sockets {
            // Where it is gone already, nobody is led astray by it.
            let _ = std::fs::remove_file(socket);
        }
        self.stop.cancel();
        if let Some(proxy) = &self.proxy {
            proxy.close();
        }
        self.group.idle().await;
    }
}
