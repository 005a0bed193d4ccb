//! The types of settings: how each is read from text.
//!
//! Invariant: a type reads the same text to the same value, wherever the text was written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use raincheck::Sampler;
use raincheck::api::{Allowance, Origin};
use raincheck::core::queue::ByteSize;
use raincheck::core::secret::Secret;
use raincheck::core::time::parse_duration;
use raincheck::outward::port_fits;
use raincheck::outward::target::Range;
use raincheck::proxy::Rule;
use raincheck::room::Shares;
use raincheck::workers::process::{NoUser, UserName, Workplace};

use crate::commands::serve::logs::{LogFormat, LogLevels};

/// A setting's type.
pub(crate) trait Kind: Sized {
    /// Whether it takes several texts.
    const MANY: bool = false;
    /// Whether it is on or off.
    const SWITCH: bool = false;
    /// Whether nobody may see it: it is said by a file or a variable, never by a flag, and never shown.
    const SECRET: bool = false;

    /// Reads the value from its texts: one, or for many any number; none for one that has no default.
    ///
    /// # Errors
    /// What to write instead, as a fragment.
    fn read(texts: &[String]) -> Result<Self, String>;
}

/// The one text of a setting that takes one.
fn one(texts: &[String]) -> Result<&str, String> {
    match texts {
        [text] => Ok(text),
        _ => Err("write one value".to_owned()),
    }
}

impl<T: Kind> Kind for Option<T> {
    const SECRET: bool = T::SECRET;

    fn read(texts: &[String]) -> Result<Self, String> {
        if texts.is_empty() {
            return Ok(None);
        }
        T::read(texts).map(Some)
    }
}

impl Kind for Allowance {
    fn read(texts: &[String]) -> Result<Self, String> {
        one(texts)?.parse().map_err(str::to_owned)
    }
}

impl Kind for String {
    fn read(texts: &[String]) -> Result<Self, String> {
        one(texts).map(str::to_owned)
    }
}

/// A master key.
impl Kind for Secret {
    const SECRET: bool = true;

    fn read(texts: &[String]) -> Result<Self, String> {
        crate::master_key::read(one(texts)?)
    }
}

impl Kind for PathBuf {
    fn read(texts: &[String]) -> Result<Self, String> {
        match one(texts)? {
            "" => Err("write a path".to_owned()),
            // Not repeated: what should be in a file may be nobody's to read.
            content if content.contains('\n') => Err("write a file's path, not what it holds".to_owned()),
            path => Ok(Self::from(path)),
        }
    }
}

impl Kind for LogLevels {
    fn read(texts: &[String]) -> Result<Self, String> {
        one(texts)?.parse()
    }
}

impl Kind for Duration {
    fn read(texts: &[String]) -> Result<Self, String> {
        parse_duration(one(texts)?).map_err(|error| error.to_string())
    }
}

impl Kind for u32 {
    fn read(texts: &[String]) -> Result<Self, String> {
        let count = one(texts)?.parse().ok();
        let count = count.filter(|count| (1..=100_000).contains(count));
        count.ok_or_else(|| "write a number from 1 to 100000".to_owned())
    }
}

impl Kind for bool {
    const SWITCH: Self = true;

    fn read(texts: &[String]) -> Result<Self, String> {
        match one(texts)? {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            other => Err(format!("{other:?} is neither true nor false")),
        }
    }
}

impl Kind for Vec<Range> {
    const MANY: bool = true;

    fn read(texts: &[String]) -> Result<Self, String> {
        let range = |text: &String| text.parse().map_err(|error| format!("{text:?}: {error}"));
        texts.iter().map(range).collect()
    }
}

impl Kind for Vec<Origin> {
    const MANY: bool = true;

    fn read(texts: &[String]) -> Result<Self, String> {
        let origin = |text: &String| text.parse().map_err(|why| format!("{text:?}: {why}"));
        texts.iter().map(origin).collect()
    }
}

impl Kind for Vec<Rule> {
    const MANY: bool = true;

    fn read(texts: &[String]) -> Result<Self, String> {
        let rule = |text: &String| text.parse().map_err(|why| format!("{text:?}: {why}"));
        texts.iter().map(rule).collect()
    }
}

impl Kind for LogFormat {
    fn read(texts: &[String]) -> Result<Self, String> {
        let text = one(texts)?;
        Self::from_str(text, false).map_err(|_| format!("{text:?} is none of auto, text and json"))
    }
}

/// A bound that there may be none of: `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrNone<T>(pub(crate) Option<T>);

impl<T: Kind> Kind for OrNone<T> {
    fn read(texts: &[String]) -> Result<Self, String> {
        match one(texts)? {
            "none" => Ok(Self(None)),
            _ => T::read(texts)
                .map(|value| Self(Some(value)))
                .map_err(|why| format!("{why}, or none")),
        }
    }
}

/// So many bytes; none at all would start nothing.
impl Kind for ByteSize {
    fn read(texts: &[String]) -> Result<Self, String> {
        match one(texts)?.parse::<Self>() {
            Ok(Self(0)) => Err("write more than 0".to_owned()),
            size => size.map_err(|error| error.to_string()),
        }
    }
}

impl Kind for Shares {
    fn read(texts: &[String]) -> Result<Self, String> {
        let ByteSize(bytes) = ByteSize::read(texts)?;
        if bytes < Self::LEAST {
            return Err(format!("write {} or more", ByteSize(Self::LEAST)));
        }
        Ok(Self::of(bytes))
    }
}

impl Kind for UserName {
    fn read(texts: &[String]) -> Result<Self, String> {
        one(texts)?.parse().map_err(|error: NoUser| error.to_string())
    }
}

impl Kind for Workplace {
    fn read(texts: &[String]) -> Result<Self, String> {
        match one(texts)? {
            "" => Err("write private, or a path".to_owned()),
            "private" => Ok(Self::Private),
            "." => Ok(Self::Inherited),
            path => {
                let path = std::path::absolute(path).map_err(|error| error.to_string())?;
                Ok(Self::Fixed(path))
            }
        }
    }
}

/// An address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Local(PathBuf),
}

impl Kind for Vec<Listen> {
    const MANY: bool = true;

    fn read(texts: &[String]) -> Result<Self, String> {
        let listen = |text: &String| match text.strip_prefix("unix:") {
            Some("") => Err("after unix: comes a path".to_owned()),
            Some(path) => Ok(Listen::Local(PathBuf::from(path))),
            None => {
                let numeric = text
                    .strip_prefix("localhost:")
                    .map(|port| format!("127.0.0.1:{port}"));
                let address = numeric.as_deref().unwrap_or(text).parse().map(Listen::Tcp);
                let rule = "is not an address with a port: write one such as 127.0.0.1:7246, or unix:PATH";
                address.map_err(|_| format!("{text:?} {rule}"))
            }
        };
        match texts {
            [] => Err("write an address".to_owned()),
            texts => texts.iter().map(listen).collect(),
        }
    }
}

/// A URL with a host and without a query, without the slashes at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl(pub(crate) String);

impl Kind for PublicUrl {
    fn read(texts: &[String]) -> Result<Self, String> {
        let text = one(texts)?;
        let uri: http::Uri = text.parse().map_err(|_| format!("{text:?} is not a URL"))?;
        let fit = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@') && port_fits(authority))
            && uri.query().is_none();
        let rule = "write http:// or https://, a host, and a path where the API is below one";
        fit.then(|| Self(text.trim_end_matches('/').to_owned()))
            .ok_or_else(|| rule.to_owned())
    }
}

/// Which traces are told, by the name that OpenTelemetry has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceSampler(pub(crate) String);

impl Kind for TraceSampler {
    fn read(texts: &[String]) -> Result<Self, String> {
        let name = one(texts)?;
        let known = ["always_on", "always_off", "traceidratio"];
        match Sampler::named(name, 1.0) {
            Some(_) => Ok(Self(name.to_owned())),
            None => Err(format!(
                "{name:?} is none of {}, alone or after parentbased_",
                known.join(", ")
            )),
        }
    }
}

/// A share of a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl Kind for Share {
    fn read(texts: &[String]) -> Result<Self, String> {
        let share: Option<f64> = one(texts)?.parse().ok();
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        share
            .map(Self)
            .ok_or_else(|| "write a number from 0 to 1".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Kind>(texts: &[&str]) -> Result<T, String> {
        T::read(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_type_reads_what_people_write() {
        assert_eq!(read::<Duration>(&["1m30s"]), Ok(Duration::from_secs(90)));
        assert_eq!(read::<bool>(&["on"]), Ok(true));
        assert_eq!(read::<bool>(&["0"]), Ok(false));
        assert_eq!(read::<LogFormat>(&["json"]), Ok(LogFormat::Json));
        assert_eq!(read::<Vec<Range>>(&["10.0.0.0/8", "::1"]).unwrap().len(), 2);
        assert_eq!(read::<Option<PathBuf>>(&[]), Ok(None));
        assert_eq!(read::<Share>(&["0.25"]), Ok(Share(0.25)));
        assert_eq!(
            read::<OrNone<ByteSize>>(&["64MiB"]),
            Ok(OrNone(Some(ByteSize(64 << 20))))
        );
        assert_eq!(read::<OrNone<ByteSize>>(&["none"]), Ok(OrNone(None)));
        assert_eq!(read::<Shares>(&["320MiB"]), Ok(Shares::default()));
        assert_eq!(read::<Workplace>(&["private"]), Ok(Workplace::Private));
        assert_eq!(
            read::<Workplace>(&["/srv/x"]),
            Ok(Workplace::Fixed("/srv/x".into()))
        );
        assert_eq!(
            read::<Vec<Listen>>(&["localhost:80", "unix:./s"]),
            Ok(vec![
                Listen::Tcp("127.0.0.1:80".parse().unwrap()),
                Listen::Local("./s".into())
            ])
        );
        let url = PublicUrl("https://a.example/jobs".to_owned());
        assert_eq!(read::<PublicUrl>(&["https://a.example/jobs/"]), Ok(url));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert!(read::<bool>(&["perhaps"]).is_err());
        assert!(read::<String>(&["a", "b"]).is_err());
        assert!(read::<PathBuf>(&[""]).is_err());
        assert!(read::<Duration>(&["soon"]).is_err());
        assert!(read::<OrNone<ByteSize>>(&["0"]).is_err() && read::<OrNone<ByteSize>>(&["some"]).is_err());
        assert!(read::<Shares>(&["63MiB"]).is_err());
        assert!(read::<UserName>(&["a b"]).is_err() && read::<Workplace>(&[""]).is_err());
        assert!(read::<Share>(&["1.5"]).is_err() && read::<Share>(&["NaN"]).is_err());
        assert!(
            read::<Vec<Range>>(&["10.0.0.0/8", "there"])
                .unwrap_err()
                .contains("there")
        );
        for bad in [
            "a.example",
            "ftp://a.example",
            "https://me@a.example",
            "https://a.example/?x",
        ] {
            assert!(read::<PublicUrl>(&[bad]).is_err(), "{bad}");
        }
    }
}
