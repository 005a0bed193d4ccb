//! `RAINCHECK_*`: what the environment says.
//!
//! Invariant: a variable that almost names a setting is refused, and never passed over as one that means nothing here; any other
//! that names none is told of, but for those of the command line's other commands, of its programs, and those that Kubernetes makes.

use raincheck::near::nearest;
use std::collections::BTreeMap;

use raincheck::core::name::QueueName;

use super::origin::{Found, Origin};
use super::programs;
use super::queues::{Fields, Said};
use super::table::{TABLE, Values};
use crate::commands::queue::set::change;
use crate::exit::Failed;

/// Variables of other commands, of the programs that a server starts, and of the project's tests.
const OTHERS: [&str; 18] = [
    "URL",
    "API_KEY",
    "CA",
    "PROFILE",
    "CONFIG",
    "WORKER",
    "JOB",
    "ATTEMPT",
    "DEADLINE",
    "FENCE",
    "LEASE",
    "NAMESPACE",
    "HOST",
    "PORT",
    "CONTENT_TYPE",
    "ATTACHED",
    "WEBHOOK_SECRET",
    "SEED",
];

/// Variables that people take for settings, and what they are looking for.
const MEANT: [(&str, &str); 3] = [
    (
        "API_KEYS",
        "keys are made by `raincheck key create NAME --scope submit`",
    ),
    (
        "QUEUE",
        "a queue is defined by --queue NAME, in raincheck.toml, or by RAINCHECK_QUEUES__NAME__SETTING",
    ),
    ("QUEUES", "write RAINCHECK_QUEUES__NAME__SETTING for each setting"),
];

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// Its settings.
    pub(crate) values: Values,
    /// Settings of queues: `RAINCHECK_QUEUES__REPORTS__CONCURRENCY`.
    pub(crate) queues: BTreeMap<QueueName, Fields>,
    /// Variables that name nothing, and what was probably meant.
    pub(crate) passed_over: Vec<String>,
}

/// Reads the variables; `known` are the queues that others name already.
///
/// # Errors
/// A value that is none of its setting, a file that cannot be read, or a name that almost is a setting's.
pub(crate) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
    known: &[QueueName],
) -> Result<Environment, Failed> {
    let mut said = Environment::default();
    for (variable, text) in variables {
        let Some(name) = variable.strip_prefix("RAINCHECK_") else {
            continue;
        };
        if let Some(rest) = name.strip_prefix("QUEUES__") {
            said.queue(&variable, rest, &text, known)?;
        } else if !text.is_empty() {
            // An empty variable is an unset one: so it is taken back in a compose file.
            said.setting(&variable, name, text)?;
        }
    }
    Ok(said)
}

/// `PORT`, as platforms that run containers say it: a port of all addresses, for a server that is told no address.
pub(crate) fn port(port: Option<&str>) -> Option<Found> {
    let port: u16 = port?.parse().ok()?;
    Some(Found {
        texts: vec![format!("0.0.0.0:{port}")],
        origin: Origin::Variable("PORT".to_owned()),
    })
}

impl Environment {
    fn setting(&mut self, variable: &str, name: &str, text: String) -> Result<(), Failed> {
        let row = |name: &str| TABLE.iter().find(|row| row.name.eq_ignore_ascii_case(name));
        let (row, text, origin) = if let Some(row) = row(name) {
            (row, text, Origin::Variable(variable.to_owned()))
        } else if let Some(row) = name
            .strip_suffix("_FILE")
            .and_then(row)
            .filter(|row| row.names_file())
        {
            (row, text, Origin::Variable(variable.to_owned()))
        } else if let Some(row) = name.strip_suffix("_FILE").and_then(row) {
            let content = content(variable, &text)?;
            (row, content, Origin::VariableFile(variable.to_owned(), text))
        } else {
            self.passed_over.extend(unknown(variable, name)?);
            return Ok(());
        };
        let texts: Vec<String> = if row.many {
            let parts = text.split([',', '\n']).map(str::trim);
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        } else {
            vec![text]
        };
        (row.check)(&texts).map_err(|why| Failed::usage(format!("{variable}: {why}")))?;
        let found = Found { texts, origin };
        if let Some(twice) = self.values.insert(row.name, found) {
            return Err(Failed::usage(format!(
                "{variable} and {} say the same setting; keep one of them",
                twice.origin
            )));
        }
        Ok(())
    }

    fn queue(&mut self, variable: &str, rest: &str, text: &str, known: &[QueueName]) -> Result<(), Failed> {
        let form = || Failed::usage(format!("{variable}: write RAINCHECK_QUEUES__NAME__SETTING"));
        let (name, field) = rest.split_once("__").ok_or_else(form)?;
        let named = known.iter().find(|queue| capitals(queue.as_str()) == name);
        let queue = match named {
            Some(queue) => queue.clone(),
            None => QueueName::new(&name.to_ascii_lowercase())
                .map_err(|error| Failed::usage(format!("{variable}: {error}")))?,
        };
        let mut field = field.to_ascii_lowercase();
        let (mut text, mut origin) = (text.to_owned(), Origin::Variable(variable.to_owned()));
        let named = field.strip_suffix("_file").map(str::to_owned);
        if let Some(named) = named.filter(|named| programs::unknown(named).is_none()) {
            origin = Origin::VariableFile(variable.to_owned(), text.clone());
            (field, text) = (named, content(variable, &text)?);
        } else if let Some(hint) = programs::unknown(&field) {
            return Err(Failed::usage(format!(
                "{variable}: a queue has no setting {field:?}{hint}"
            )));
        }
        let (_, value) = change(&format!("{field}={text}"))?;
        let queue = self.queues.entry(queue).or_default();
        match queue.said.insert(field, Said { value, origin }) {
            Some(twice) => Err(Failed::usage(format!(
                "{variable} and {} say the same setting; keep one of them",
                twice.origin
            ))),
            None => Ok(()),
        }
    }
}

/// What the file holds that a variable names.
fn content(variable: &str, path: &str) -> Result<String, Failed> {
    let content = std::fs::read_to_string(path)
        .map_err(|error| Failed::usage(format!("{variable}: {path} cannot be read: {error}")))?;
    Ok(content.trim_end_matches(['\n', '\r']).to_owned())
}

/// A queue's name as variables write it.
fn capitals(name: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.chars().map(letter).collect()
}

/// What is to be said of a variable that names no setting; nothing where it is somebody else's.
fn unknown(variable: &str, name: &str) -> Result<Option<String>, Failed> {
    let begins = ["SERVICE_", "PORT_", "TEST_", "SLOW_", "FUZZ_"];
    // Kubernetes tells of each service by variables that begin with its name (and so of one called raincheck-web).
    let within = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"];
    let others = begins.iter().any(|begin| name.starts_with(begin))
        || within.iter().any(|part| name.contains(part))
        || (name.ends_with("_PORT") && !name.contains("__"));
    let stem = name.strip_suffix("_FILE").unwrap_or(name);
    if others || OTHERS.contains(&stem) {
        return Ok(None);
    }
    let plain = stem.to_ascii_lowercase();
    let meant = MEANT.iter().find(|(known, _)| *known == stem);
    if meant.is_none()
        && let Some(meant) = nearest(&plain, TABLE.iter().map(|row| row.name))
    {
        return Err(Failed::usage(format!(
            "{variable} names no setting; did you mean RAINCHECK_{}?",
            meant.to_ascii_uppercase()
        )));
    }
    let next = meant.map_or_else(
        || "see all: raincheck config show".to_owned(),
        |(_, meant)| (*meant).to_owned(),
    );
    Ok(Some(format!(
        "{variable} is passed over: it names no setting; {next}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Result<Environment, String> {
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        read(variables, &[QueueName::new("eu-thumbs").unwrap()]).map_err(|failed| failed.to_string())
    }

    #[test]
    fn variables_are_settings_lists_and_settings_of_queues() {
        let read = said(&[
            ("RAINCHECK_DEV", "1"),
            ("RAINCHECK_STORE", ""),
            ("RAINCHECK_ALLOW_TARGETS", "10.0.0.0/8, ::1"),
            ("RAINCHECK_QUEUES__EU_THUMBS__CONCURRENCY", "4"),
            ("RAINCHECK_QUEUES__REPORTS__TIMEOUT", "1m"),
            ("HOME", "/"),
        ])
        .unwrap();
        assert_eq!(read.values["dev"].texts, ["1"]);
        assert!(
            !read.values.contains_key("store"),
            "an empty variable says nothing"
        );
        assert_eq!(read.values["allow_targets"].texts, ["10.0.0.0/8", "::1"]);
        let names: Vec<_> = read.queues.keys().map(QueueName::as_str).collect();
        assert_eq!(names, ["eu-thumbs", "reports"]);
        let queue = &read.queues[&QueueName::new("eu-thumbs").unwrap()];
        assert_eq!(queue.said["concurrency"].value, Some(4.into()));
    }

    #[test]
    fn a_file_says_what_its_variable_would() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drain");
        std::fs::write(&path, "7s\n").unwrap();
        let path = path.to_str().unwrap();
        let read = said(&[("RAINCHECK_DRAIN_FILE", path)]).unwrap();
        assert_eq!(read.values["drain"].texts, ["7s"]);
        assert_eq!(
            read.values["drain"].origin.to_string(),
            format!("RAINCHECK_DRAIN_FILE ({path})")
        );
        let twice = said(&[("RAINCHECK_DRAIN_FILE", path), ("RAINCHECK_DRAIN", "1s")]);
        assert!(twice.unwrap_err().contains("keep one of them"));
        assert!(said(&[("RAINCHECK_DRAIN_FILE", "/nowhere/at-all")]).is_err());
        let variable = "RAINCHECK_QUEUES__A__TIMEOUT_FILE";
        let read = said(&[(variable, path)]).unwrap();
        let timeout = &read.queues[&QueueName::new("a").unwrap()].said["timeout"];
        assert_eq!(timeout.value, Some("7s".into()));
        assert_eq!(timeout.origin.to_string(), format!("{variable} ({path})"));
        let twice = said(&[(variable, path), ("RAINCHECK_QUEUES__A__TIMEOUT", "1s")]);
        assert!(twice.unwrap_err().contains("keep one of them"));
    }

    #[test]
    fn of_a_setting_that_is_a_file_either_variable_names_it_and_nobody_says_what_it_holds() {
        let read = said(&[("RAINCHECK_TLS_KEY_FILE", "/run/credentials/key.pem")]).unwrap();
        assert_eq!(read.values["tls_key"].texts, ["/run/credentials/key.pem"]);
        let key = "-----BEGIN PRIVATE KEY-----\nMIGH\n";
        let refused = said(&[("RAINCHECK_TLS_KEY", key)]).unwrap_err();
        assert!(
            refused.contains("a file's path") && !refused.contains("MIGH"),
            "{refused}"
        );
    }

    #[test]
    fn a_level_that_is_mistyped_is_refused() {
        for levels in ["warning", "inf", "info,debgu", "raincheck", "raincheck=nope"] {
            let refused = said(&[("RAINCHECK_LOG", levels)]).unwrap_err();
            assert!(refused.starts_with("RAINCHECK_LOG: "), "{refused}");
        }
        for levels in [
            "INFO",
            "info,raincheck=debug",
            "raincheck=debug,off",
            "raincheck[span{x=y}]=trace",
        ] {
            said(&[("RAINCHECK_LOG", levels)]).unwrap();
        }
    }

    #[test]
    fn the_port_of_a_platform_is_one_of_all_addresses() {
        assert_eq!(port(Some("8080")).unwrap().texts, ["0.0.0.0:8080"]);
        assert_eq!(port(Some("tcp://10.0.0.1:80")), None);
        assert_eq!(port(None), None);
    }

    #[test]
    fn a_slip_is_refused_and_what_others_use_is_left_alone() {
        for (variable, part) in [
            ("RAINCHECK_LISTN", "did you mean RAINCHECK_LISTEN?"),
            ("RAINCHECK_DRAIM", "did you mean RAINCHECK_DRAIN?"),
            ("RAINCHECK_DEV", "neither true nor false"),
            ("RAINCHECK_QUEUES__A", "RAINCHECK_QUEUES__NAME__SETTING"),
            ("RAINCHECK_QUEUES__A__TIMEOUTS", "did you mean timeout?"),
            ("RAINCHECK_QUEUES__A__TIMEOUTS_FILE", "a queue has no setting"),
        ] {
            assert!(said(&[(variable, "x")]).unwrap_err().contains(part), "{variable}");
        }
        for variable in [
            "RAINCHECK_URL",
            "RAINCHECK_SERVICE_HOST",
            "RAINCHECK_PORT_7246_TCP",
            "RAINCHECK_SLOW_TESTS",
            "RAINCHECK_API_KEY_FILE",
            "RAINCHECK_WEB_SERVICE_PORT_HTTP",
            "RAINCHECK_WEB_PORT",
            "RAINCHECK_WEB_PORT_80_TCP_ADDR",
        ] {
            assert_eq!(
                said(&[(variable, "x")]).unwrap().passed_over,
                [""; 0],
                "{variable}"
            );
        }
    }

    #[test]
    fn a_variable_that_names_nothing_is_told_of() {
        for (variable, part) in [
            ("RAINCHECK_API_KEYS", "raincheck key create"),
            ("RAINCHECK_QUEUE", "RAINCHECK_QUEUES__NAME__SETTING"),
            ("RAINCHECK_QUEUES", "RAINCHECK_QUEUES__NAME__SETTING"),
            ("RAINCHECK_COLOUR_OF_THE_SKY", "names no setting"),
        ] {
            let read = said(&[(variable, "x")]).unwrap();
            let [told] = read.passed_over.as_slice() else {
                panic!("{variable}: {:?}", read.passed_over);
            };
            assert!(told.starts_with(variable) && told.contains(part), "{told}");
        }
    }
}
