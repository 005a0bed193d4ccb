//! The server's configuration: flags, before the environment, before the file, before the defaults.
//!
//! ```text
//! table ─► flags, environment, file (each: settings by name, queues by name, where they were said)
//!             └── laid over each other ─► Config ─► serve, config show, a reload
//! ```
//!
//! Invariant: what was written and means nothing is refused before anything is opened, with the place and, where one is
//! near, the name that was meant. Reading has no effects, so that a server can read again while it runs.

pub(crate) mod environment;
pub(crate) mod file;
pub(crate) mod flags;
mod groups;
mod kinds;
mod origin;
mod otel;
pub(crate) mod programs;
pub(crate) mod queues;
mod reference;
pub(crate) mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use raincheck::api::{ADDRESS_USUAL, KEY_USUAL};
use raincheck::core::name::QueueName;
use serde_json::Value as Json;

use crate::exit::Failed;

pub(crate) use self::flags::Flags;
pub(crate) use self::kinds::Listen;
pub(crate) use self::origin::{Found, Origin};
use self::queues::Queues;
pub(crate) use self::reference::reference;
pub(crate) use self::table::Settings;
use self::table::{TABLE, Values};

/// The configuration, and where it was said.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// The settings.
    pub(crate) settings: Settings,
    /// The queues that it defines.
    pub(crate) queues: Queues,
    /// What the environment says that means nothing here, and what to write instead.
    pub(crate) passed_over: Vec<String>,
    values: Values,
}

/// A setting as `config show` shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Its name, with those of the tables around it.
    pub(crate) name: String,
    /// Its value; null where it has none.
    pub(crate) value: Json,
    /// Where it was said.
    pub(crate) origin: Origin,
}

impl Config {
    /// Reads the file and the environment, and lays the flags over them.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub(crate) fn load(flags: &Flags) -> Result<Self, Failed> {
        let path = flags.file.clone().or_else(file::place);
        let file = match &path {
            Some(path) => read_file(path)?,
            None => file::File::default(),
        };
        let names: Vec<QueueName> = file.queues.keys().chain(flags.queues.keys()).cloned().collect();
        let environment = environment::read(std::env::vars(), &names)?;
        let (mut values, mut queues) = (file.values, file.queues);
        values.extend(environment.values);
        values.extend(flags.values.clone());
        if let Some(port) = environment::port(std::env::var("PORT").ok().as_deref()) {
            values.entry("listen").or_insert(port);
        }
        let mut passed_over = environment.passed_over;
        passed_over.extend(otel::add(&mut values, |name| std::env::var(name).ok()));
        queues::lay_over(&mut queues, environment.queues);
        let settings = Settings::of(&values)?;
        let mut all = queues::of_proxy(&settings.proxy);
        queues::lay_over(&mut all, queues);
        let mut queues = all;
        flags.check_strays(&queues)?;
        queues::lay_over(&mut queues, flags.queues.clone());
        Ok(Self {
            file: path,
            settings,
            queues,
            passed_over,
            values,
        })
    }

    /// Reads the file alone and finds all that is written wrongly in it, before it is laid under the environment.
    ///
    /// # Errors
    /// All mistakes, or the first that the environment makes of it.
    pub(crate) fn load_whole(path: &Path) -> Result<Self, Vec<Failed>> {
        let mistake = |one: &file::Mistake| Failed::usage(one.to_string());
        let file = file::load(path).map_err(|all| all.iter().map(mistake).collect::<Vec<_>>())?;
        let settings = Settings::of(&file.values).map(drop);
        let specs = file
            .queues
            .iter()
            .map(|(name, fields)| queues::check(name, fields));
        let wrong: Vec<_> = std::iter::once(settings)
            .chain(specs)
            .filter_map(Result::err)
            .collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let flags = Flags {
            file: Some(path.to_owned()),
            ..Flags::default()
        };
        Self::load(&flags).map_err(|failed| vec![failed])
    }

    /// What holds for the programs of queues.
    ///
    /// # Errors
    /// A user whom this machine does not have, or whom this process cannot become.
    pub(crate) fn programs(&self) -> Result<raincheck::workers::process::Rules, Failed> {
        programs::rules(&self.values, &self.queues)
    }

    /// How a message about a setting begins: where it was said, and its name.
    pub(crate) fn about(&self, name: &str) -> String {
        let found = self.values.get(name);
        found.map_or(&Origin::Default, |found| &found.origin).about(name)
    }

    /// Everything it says, in the order of the table, then the queues.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let setting = |row: &table::Row| {
            let found = self.values.get(row.name);
            let (value, origin) = match (found, in_force(&self.settings, row.name)) {
                (None, Some(in_force)) => in_force,
                (found, _) => (
                    shown(row, found.map(|found| found.texts.as_slice())),
                    found.map_or(Origin::Default, |found| found.origin.clone()),
                ),
            };
            Shown {
                name: row.name.to_owned(),
                value,
                origin,
            }
        };
        let mut all: Vec<Shown> = TABLE.iter().map(setting).collect();
        for (queue, fields) in &self.queues {
            all.extend(fields.said.iter().map(|(field, said)| Shown {
                name: format!("queues.{queue}.{field}"),
                value: said.value.clone().unwrap_or(Json::Null),
                origin: said.origin.clone(),
            }));
            all.extend(fields.groups.iter().map(|(group, (spec, origin))| Shown {
                name: format!("queues.{queue}.groups.{group}"),
                value: serde_json::to_value(spec).unwrap_or(Json::Null),
                origin: origin.clone(),
            }));
        }
        all
    }

    /// The settings that this one says otherwise than another, by name and by whether a running server follows.
    pub(crate) fn changed(&self, other: &Self) -> Vec<(&'static str, bool)> {
        let texts = |config: &Self, name| config.values.get(name).map(|found| found.texts.clone());
        let default = |row: &table::Row| row.default.map(|text| vec![text.to_owned()]);
        let differs = |row: &&table::Row| {
            texts(self, row.name).or_else(|| default(row)) != texts(other, row.name).or_else(|| default(row))
        };
        let changed = TABLE.iter().filter(differs);
        changed.map(|row| (row.name, row.live)).collect()
    }

    /// Keeps these settings as `other` says them.
    pub(crate) fn keep(&mut self, other: &Self, names: impl Iterator<Item = &'static str>) {
        for name in names {
            match other.values.get(name) {
                Some(found) => self.values.insert(name, found.clone()),
                None => self.values.remove(name),
            };
        }
    }
}

fn read_file(path: &Path) -> Result<file::File, Failed> {
    file::load(path).map_err(|mistakes| {
        let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
        let failed = Failed::usage(first);
        match mistakes.len() {
            0 | 1 => failed,
            more => failed.next(format!(
                "See all {more} mistakes: raincheck config check {}",
                path.display()
            )),
        }
    })
}

/// What is in force of a setting that nobody said and whose default is no single value, where that can be told; and where it comes
/// from.
fn in_force(settings: &Settings, name: &str) -> Option<(Json, Origin)> {
    match name {
        "store" => {
            let (directory, variable) = default_directory();
            let origin = variable.map_or(Origin::Default, Origin::Variable);
            Some((directory.display().to_string().into(), origin))
        }
        "public_url" => {
            let scheme = if settings.tls_cert.is_some() {
                "https"
            } else {
                "http"
            };
            // A free port is known once it is taken.
            let known = |listen: &Listen| match listen {
                Listen::Tcp(address) => (address.port() != 0).then(|| at(scheme, *address)),
                Listen::Local(_) => None,
            };
            settings
                .listen
                .iter()
                .find_map(known)
                .map(|url| (url.into(), Origin::Default))
        }
        "rate_per_key" => Some((format!("{KEY_USUAL}/s").into(), Origin::Default)),
        "rate_per_address" => Some((format!("{ADDRESS_USUAL}/s").into(), Origin::Default)),
        _ => None,
    }
}

/// The URL at an address; one that stands for all of them is reached by this machine's own.
pub(crate) fn at(scheme: &str, address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

/// Where the data is when nobody says it: where systemd does, else here; and the variable that said so.
pub(crate) fn default_directory() -> (PathBuf, Option<String>) {
    const VARIABLE: &str = "STATE_DIRECTORY";
    match std::env::var_os(VARIABLE) {
        Some(directory) => (PathBuf::from(directory), Some(VARIABLE.to_owned())),
        None => (PathBuf::from("raincheck-data"), None),
    }
}

/// What is shown of a secret.
const SET: &str = "(set)";

/// A setting's value as JSON.
fn shown(row: &table::Row, texts: Option<&[String]>) -> Json {
    let default = row.default.map(|text| vec![text.to_owned()]);
    let texts = texts.map(<[String]>::to_vec).or(default);
    let on = |text: &String| ["true", "yes", "on", "1"].contains(&text.as_str());
    match texts {
        Some(_) if row.secret => SET.into(),
        Some(texts) if row.many => texts.into(),
        Some(texts) if row.switch => texts.first().is_some_and(on).into(),
        Some(texts) => texts.into_iter().next().into(),
        None if row.many => Json::Array(Vec::new()),
        None => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::origin::Found;

    #[test]
    fn no_structure_of_the_configuration_shows_a_secret() {
        let planted = "q7Jm1vT0bX2cZ4nL6kR8sD5fG3hW9yAaEeIiOoUuPp8=";
        let found = Found {
            texts: vec![planted.to_owned()],
            origin: Origin::Variable("RAINCHECK_MASTER_KEY".to_owned()),
        };
        let values = Values::from([("master_key", found)]);
        let settings = Settings::of(&values).unwrap();
        assert!(settings.master_key.is_some());
        let flags = Flags {
            values: values.clone(),
            ..Flags::default()
        };
        let config = Config {
            file: None,
            settings,
            queues: Queues::new(),
            passed_over: Vec::new(),
            values,
        };
        let environment =
            environment::read([("RAINCHECK_MASTER_KEY".to_owned(), planted.to_owned())], &[]).unwrap();
        let file = file::File {
            values: config.values.clone(),
            ..file::File::default()
        };
        let all = format!(
            "{config:?} {flags:?} {environment:?} {file:?} {:?}",
            config.shown()
        );
        assert!(!all.contains(planted), "{all}");
        assert!(all.contains("(set)") && all.contains("Secret(…)"), "{all}");
    }
}
