//! The table of settings: each one's name, type, default and meaning, once.
//!
//! Invariant: flags, environment variables, keys of the file and `docs/configuration.md` all come from this table, so
//! that a setting has the same name and the same values wherever it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use raincheck::api::{Allowance, Origin};
use raincheck::core::queue::ByteSize;
use raincheck::core::secret::Secret;
use raincheck::outward::target::Range;
use raincheck::proxy::Rule;
use raincheck::room::Shares;
use raincheck::workers::process::{UserName, Workplace};

use crate::exit::Failed;

use super::kinds::{Kind, Listen, OrNone, PublicUrl, Share, TraceSampler};
use super::origin::{Found, Origin as Source};
use crate::commands::serve::logs::{LogFormat, LogLevels};

/// What settings say, by their names.
pub(crate) type Values = BTreeMap<&'static str, Found>;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its name, as the file writes it; the flag has dashes for the underscores, the variable is in capitals.
    pub(crate) name: &'static str,
    /// What stands for its value in helps.
    pub(crate) value: &'static str,
    /// What it is unless it is set; `None` where that is not one value.
    pub(crate) default: Option<&'static str>,
    /// What it means.
    pub(crate) doc: &'static str,
    /// Whether it takes several values.
    pub(crate) many: bool,
    /// Whether it is on or off.
    pub(crate) switch: bool,
    /// Whether nobody may see its value.
    pub(crate) secret: bool,
    /// Whether it is followed when the configuration is read again, without a restart.
    pub(crate) live: bool,
    /// Whether its texts are values of it.
    pub(crate) check: fn(&[String]) -> Result<(), String>,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:expr, $value:literal, $when:ident;)+) => {
        /// The settings as the server works by them.
        #[derive(Clone, Debug)]
        pub(crate) struct Settings {
            $($(#[doc = $doc])+ pub(crate) $name: $kind,)+
        }

        /// Every setting, in the order in which they are shown.
        pub(crate) static TABLE: &[Row] = &[$(Row {
            name: stringify!($name),
            value: $value,
            default: $default,
            doc: concat!($($doc),+).trim_ascii(),
            many: <$kind as Kind>::MANY,
            switch: <$kind as Kind>::SWITCH,
            secret: <$kind as Kind>::SECRET,
            live: settings!(@when $when),
            check: |texts| <$kind as Kind>::read(texts).map(drop),
        }),+];

        impl Settings {
            /// The settings that these values say, defaults where they say nothing.
            ///
            /// # Errors
            /// A value that is none of its setting, with where it was written.
            pub(crate) fn of(values: &Values) -> Result<Self, Failed> {
                Ok(Self { $($name: read(values, stringify!($name), $default)?,)+ })
            }
        }
    };
    (@when live) => { true };
    (@when restart) => { false };
}

settings! {
    /// The address to listen on, or unix:PATH for a socket that only this user can open; port 0 takes a free one; may be
    /// repeated, or separated by commas. Any but this machine's own needs an API key, and TLS, --behind-proxy or
    /// --insecure-http
    listen: Vec<Listen> = Some("127.0.0.1:7246"), "ADDRESS", restart;
    /// A certificate chain in PEM form: with it and its key the server speaks TLS on all its ports, HTTP/2 and HTTP/1.1. Read
    /// again on SIGHUP and when the file changes
    tls_cert: Option<PathBuf> = None, "FILE", restart;
    /// The private key of that certificate, in PEM form
    tls_key: Option<PathBuf> = None, "FILE", restart;
    /// Addresses, or ranges such as 10.0.0.0/8, of the proxies that speak TLS in front of this server: their X-Forwarded-For
    /// and -Proto (or Forwarded, where there is neither) say who asks; may be repeated, or separated by commas
    behind_proxy: Vec<Range> = None, "RANGE", restart;
    /// Serve others than this machine without TLS: whoever sees the traffic can read keys, inputs and results
    insecure_http: bool = Some("false"), "BOOL", restart;
    /// An origin, such as https://app.example, whose pages may call the API from a browser; may be repeated, or separated by
    /// commas
    cors_origin: Vec<Origin> = None, "ORIGIN", restart;
    /// The server's own URL as those whom it pushes jobs to reach it [default: that of --listen]
    public_url: Option<PublicUrl> = None, "URL", restart;
    /// Addresses, or ranges such as 10.1.0.0/16, to which URLs that come over the API may lead although they are not
    /// public; may be repeated, or separated by commas
    allow_targets: Vec<Range> = None, "RANGE", restart;
    /// So many requests go to one host at once: pushes (a queue whose own concurrency is written larger raises it for its hosts),
    /// and webhooks to a receiver that is slow
    host_concurrency: u32 = Some("8"), "COUNT", restart;
    /// The memory that large bodies take together, 64MiB at least: half of it those of requests on their way to the disk, a quarter results
    /// on their way there, a quarter what clients read; who comes with more waits, or gets a 503
    bodies_memory: Shares = Some("320MiB"), "SIZE", restart;
    /// Certificates in PEM form of authorities that are trusted beside the usual ones where this server asks others: services
    /// behind it (--proxy), push URLs, receivers of webhooks, what is fetched, the collector of traces
    ca_file: Option<PathBuf> = None, "FILE", restart;
    /// Paths that go to a service behind this server, and which of their calls become jobs: PATH=UPSTREAM, then
    /// ;prefix=/shop (which the service does not see) ;mode=prefer|always|never ;after=2s ;deadline=1h ;retry_unsafe=true ;retry_codes="502 503 504" ;queue=NAME as wanted; may be repeated, or
    /// separated by commas; the first for a path counts
    proxy: Vec<Rule> = None, "PATH=UPSTREAM", restart;
    /// How long such a service may take to begin an answer that passes through, from the end of its request
    upstream_timeout: Duration = Some("5m"), "DURATION", restart;
    /// The directory of the embedded store [default: $STATE_DIRECTORY, else ./raincheck-data]
    store: Option<PathBuf> = None, "DIRECTORY", restart;
    /// Start although rows of jobs are damaged: those jobs are set aside, named in the log and by `raincheck doctor`, and the others go
    /// on. Without it such a store is refused. Once is enough: what was set aside is remembered
    set_aside_damaged: bool = Some("false"), "BOOL", restart;
    /// The key that the store's secrets (what webhooks, tickets and API keys are signed and hashed with) are encrypted under;
    /// `raincheck master-key new` makes one [default: they are not encrypted]
    master_key: Option<Secret> = None, "KEY", restart;
    /// How often one API key may come: 100/s, 6000/m, or off [default: 10000/s]
    rate_per_key: Option<Allowance> = None, "RATE", restart;
    /// How often one address may come without an API key: 100/s, 6000/m, or off [default: 200/s for addresses of other
    /// machines, once there is a key]
    rate_per_address: Option<Allowance> = None, "RATE", restart;
    /// How long is kept what administrators did (`GET /v1/audit`); of what was refused the last 10,000 acts at most, and the
    /// last million in all
    audit_keep: Duration = Some("90d"), "DURATION", restart;
    /// How long running jobs get when the server is told to stop
    drain: Duration = Some("25s"), "DURATION", restart;
    /// How much CPU time each process of a program may take, in whole seconds; one that takes more is ended (SIGXCPU). For
    /// programs that are kept alive it is that of their whole life
    program_cpu: OrNone<Duration> = Some("none"), "DURATION", live;
    /// How much memory each process of a program may map, such as 2GiB; what it asks for beyond it is not given. Programs that
    /// reserve much more than they use (Go, Java, Node) need a generous one
    program_memory: OrNone<ByteSize> = Some("none"), "SIZE", live;
    /// How many files, pipes and sockets each process of a program may have open
    program_open_files: OrNone<u32> = Some("none"), "COUNT", live;
    /// How large a file may become that a program writes; one that writes a larger one is ended (SIGXFSZ)
    program_file_size: OrNone<ByteSize> = Some("none"), "SIZE", live;
    /// Where programs are started: in this folder, or private for the one that each attempt has to itself. That one only its user
    /// can open, TMPDIR names it in any case, and it is removed after the attempt
    program_folder: Workplace = Some("."), "PATH", live;
    /// Whom programs run as, USER or USER:GROUP, each by its name or number: only where the server is started by root
    program_user: OrNone<UserName> = Some("none"), "USER", live;
    /// Let programs gain what the server's user has not, by setuid programs such as sudo
    program_new_privileges: bool = Some("false"), "BOOL", restart;
    /// Create queues as they are named in submits
    dev: bool = Some("false"), "BOOL", restart;
    /// Where traces are sent, OTLP over HTTP: a collector such as http://localhost:4318 [default: none, or what
    /// OTEL_EXPORTER_OTLP_ENDPOINT says]
    otlp_endpoint: Option<PublicUrl> = None, "URL", restart;
    /// Which jobs are traced: always_on, always_off, traceidratio (--trace-share of them), or parentbased_ before one of these:
    /// those that come with a traceparent follow its choice. Where neither this nor --trace-share is said, OTEL_TRACES_SAMPLER
    /// and OTEL_TRACES_SAMPLER_ARG are
    trace_sampler: TraceSampler = Some("parentbased_traceidratio"), "SAMPLER", restart;
    /// Which share is traced of the jobs that the sampler draws from, from 0 to 1
    trace_share: Share = Some("1"), "SHARE", restart;
    /// What is logged: a level, or levels by module, such as info,raincheck=debug
    log: LogLevels = Some("info"), "FILTER", live;
    /// How the log looks: text (a line for each event), json (an object for each), or auto (text on a terminal, json
    /// otherwise)
    log_format: LogFormat = Some("auto"), "FORMAT", restart;
}

/// The setting that this key of a file says.
pub(crate) fn row(key: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.key() == key)
}

fn read<T: Kind>(values: &Values, name: &'static str, default: Option<&str>) -> Result<T, Failed> {
    let (texts, origin) = match (values.get(name), default) {
        (Some(found), _) => (found.texts.clone(), &found.origin),
        (None, Some(default)) => (vec![default.to_owned()], &Source::Default),
        (None, None) => (Vec::new(), &Source::Default),
    };
    T::read(&texts).map_err(|why| Failed::usage(format!("{}: {why}", origin.about(name))))
}

impl Row {
    /// The flag, without its dashes in front. That of a secret names a file: who lists processes sees command lines.
    pub(crate) fn flag(&self) -> String {
        self.key().replace('_', "-")
    }

    /// The key of the configuration's file; that of a secret names another file.
    pub(crate) fn key(&self) -> Cow<'static, str> {
        if self.secret {
            Cow::Owned(format!("{}_file", self.name))
        } else {
            Cow::Borrowed(self.name)
        }
    }

    /// What stands for the value of the flag and of the file's key.
    pub(crate) fn said_as(&self) -> &'static str {
        if self.secret { "FILE" } else { self.value }
    }

    /// The texts that were said in this way: of a secret, what the file holds that was named.
    ///
    /// # Errors
    /// When there is no such file.
    pub(crate) fn texts(&self, said: Vec<String>) -> Result<Vec<String>, String> {
        if !self.secret {
            return Ok(said);
        }
        let read = |path: String| {
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("{path} cannot be read: {error}"))?;
            Ok(text.trim_end_matches(['\n', '\r']).to_owned())
        };
        said.into_iter().map(read).collect()
    }

    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("RAINCHECK_{}", self.name.to_ascii_uppercase())
    }

    /// Whether it is a file's path: `RAINCHECK_X_FILE` says that as well.
    pub(crate) fn names_file(&self) -> bool {
        self.value == "FILE"
    }

    /// What it means, in one line.
    pub(crate) fn meaning(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_setting() {
        for row in TABLE {
            let texts: Vec<String> = row.default.map(str::to_owned).into_iter().collect();
            assert_eq!((row.check)(&texts), Ok(()), "{}", row.name);
        }
        Settings::of(&Values::new()).unwrap();
    }

    #[test]
    fn a_value_that_is_none_is_refused_with_its_origin() {
        let origin = Source::Variable("RAINCHECK_DRAIN".to_owned());
        let texts = vec!["soon".to_owned()];
        let values = Values::from([("drain", Found { texts, origin })]);
        let refused = Settings::of(&values).unwrap_err().to_string();
        assert!(refused.starts_with("RAINCHECK_DRAIN: "), "{refused}");
    }
}
