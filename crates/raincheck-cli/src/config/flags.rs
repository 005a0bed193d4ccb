//! The flags that say settings, made from the table.
//!
//! Invariant: a flag takes what its variable and its key in the file take.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use raincheck::core::name::QueueName;
use raincheck::core::queue::Worker;

use super::origin::{Found, Origin};
use super::queues::{Queues, Said};
use super::table::{Row, TABLE, Values};
use crate::commands::queue::set::change;
use crate::exit::Failed;

/// A setting whose flag all commands have, so that it is none of these.
const CA_FILE: &str = "ca_file";

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// The file that it names.
    pub(crate) file: Option<PathBuf>,
    /// Its settings.
    pub(crate) values: Values,
    /// Its queues.
    pub(crate) queues: Queues,
}

/// The flags that are in no table.
#[derive(Args, Clone, Debug)]
struct Plain {
    /// The configuration file [default: ./raincheck.toml, else /etc/raincheck/raincheck.toml, where there is one]
    #[arg(long, env = "RAINCHECK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A queue and how it is worked; may be repeated
    #[arg(long = "queue", value_name = "NAME[=URL|=cmd:…|=keep-alive:…]", value_parser = queue)]
    queues: Vec<(QueueName, Worker)>,
    /// A setting of a queue that flags or the file define, as `raincheck queue set` writes it; may be repeated
    #[arg(long = "set", value_name = "NAME.FIELD=VALUE", value_parser = setting)]
    settings: Vec<Setting>,
}

/// One `--set NAME.FIELD=VALUE`.
pub(crate) type Setting = (QueueName, String, Option<serde_json::Value>);

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let command = Plain::augment_args(command);
        let own = TABLE.iter().filter(|row| row.name != CA_FILE);
        own.fold(command, |command, row| command.arg(arg(row)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The flag of a setting.
pub(crate) fn arg(row: &'static Row) -> Arg {
    let named = match row.default {
        Some(default) if !row.switch => format!(" [default: {default}]"),
        _ => String::new(),
    };
    let file = if row.secret { "_FILE" } else { "" };
    let help = format!("{}{named} [env: {}{file}]", row.meaning(), row.variable());
    let check = move |text: &str| {
        let text = text.to_owned();
        let texts = row.texts(vec![text.clone()])?;
        (row.check)(&texts).map(|()| text)
    };
    let arg = Arg::new(row.name)
        .long(row.flag())
        .value_name(row.said_as())
        .help(help)
        .value_parser(ValueParser::new(check));
    if row.switch {
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .action(ArgAction::Set)
    } else if row.many {
        arg.value_delimiter(',').action(ArgAction::Append)
    } else {
        arg.action(ArgAction::Set)
    }
}

/// What the flags of these settings say.
pub(crate) fn said(
    matches: &ArgMatches,
    rows: impl Iterator<Item = &'static Row>,
) -> Result<Values, clap::Error> {
    let mut values = Values::new();
    for row in rows {
        if let Some(texts) = matches.get_many::<String>(row.name) {
            let texts = row.texts(texts.cloned().collect());
            let texts = texts.map_err(|why| clap::Error::raw(clap::error::ErrorKind::Io, why))?;
            let origin = Origin::Flag(format!("--{}", row.flag()));
            values.insert(row.name, Found { texts, origin });
        }
    }
    Ok(values)
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let plain = Plain::from_arg_matches(matches)?;
        let mut flags = Self {
            file: plain.config.filter(|path| !path.as_os_str().is_empty()),
            ..Self::default()
        };
        flags.values = said(matches, TABLE.iter().filter(|row| row.name != CA_FILE))?;
        for (name, worker) in plain.queues {
            flags.queue(&name, &worker)?;
        }
        for (name, field, value) in plain.settings {
            let origin = Origin::Flag(format!("--set {name}.{field}"));
            let fields = flags.queues.entry(name).or_default();
            fields.said.insert(field, Said { value, origin });
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Flags {
    /// Takes in what the flag says that all commands have.
    pub(crate) fn trust(&mut self, file: Option<PathBuf>) {
        if let Some(file) = file {
            let texts = vec![file.to_string_lossy().into_owned()];
            let origin = Origin::Flag("--ca-file".to_owned());
            self.values.insert(CA_FILE, Found { texts, origin });
        }
    }

    fn queue(&mut self, name: &QueueName, worker: &Worker) -> Result<(), clap::Error> {
        let refuse = |why: String| clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, why);
        let value = serde_json::to_value(worker).map_err(|error| refuse(error.to_string()))?;
        let said = Said {
            value: Some(value),
            origin: Origin::Flag(format!("--queue {name}")),
        };
        let fields = self.queues.entry(name.clone()).or_default();
        match fields.said.insert("worker".to_owned(), said) {
            Some(_) => Err(refuse(format!("--queue {name} is given twice\n"))),
            None => Ok(()),
        }
    }

    /// Checks that every `--set` is of a queue that is defined somewhere.
    pub(crate) fn check_strays(&self, file: &Queues) -> Result<(), Failed> {
        let mut names = self.queues.iter();
        match names.find(|(name, fields)| !fields.said.contains_key("worker") && !file.contains_key(*name)) {
            Some((name, _)) => Err(Failed::usage(format!(
                "--set names queue {:?}, and neither a --queue nor the file does",
                name.as_str()
            ))
            .next("Change others over the API: raincheck queue set")),
            None => Ok(()),
        }
    }
}

/// Reads a `--queue`.
pub(crate) fn queue(text: &str) -> Result<(QueueName, Worker), String> {
    let (name, worker) = match text.split_once('=') {
        None => (text, Worker::Pull),
        Some((name, text)) => (name, worker(text)?),
    };
    let name = QueueName::new(name).map_err(|error| error.to_string())?;
    Ok((name, worker))
}

fn worker(text: &str) -> Result<Worker, String> {
    for (form, worker) in [
        ("cmd:", Worker::Process as fn(Vec<String>) -> Worker),
        ("keep-alive:", Worker::KeepAlive),
    ] {
        let Some(command) = text.strip_prefix(form) else {
            continue;
        };
        let words = shlex::split(command).ok_or("a quote in the command is not closed")?;
        return match words.first() {
            Some(program) if !program.is_empty() => Ok(worker(words)),
            _ => Err(format!("after {form} comes a program and its arguments")),
        };
    }
    if text == "fetch" {
        return Ok(Worker::Fetch);
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Worker::Push(text.split(',').map(str::to_owned).collect()));
    }
    Err(
        "write NAME for workers that ask, NAME=http://… to push, NAME=fetch to fetch URLs, \
         NAME='cmd:PROGRAM ARGUMENTS' or NAME='keep-alive:PROGRAM ARGUMENTS'"
            .to_owned(),
    )
}

/// Reads a `--set`.
pub(crate) fn setting(text: &str) -> Result<Setting, String> {
    const FORM: &str = "write NAME.FIELD=VALUE, such as thumbs.concurrency=4";
    let end = text.find(['=', ':']).ok_or(FORM)?;
    // A queue's name may hold dots, a setting's does not.
    let dot = text[..end].rfind('.').ok_or(FORM)?;
    let name = QueueName::new(&text[..dot]).map_err(|error| error.to_string())?;
    let (field, value) = change(&text[dot + 1..]).map_err(|failed| failed.to_string())?;
    if field == "worker" {
        return Err("how a queue is worked is said by --queue".to_owned());
    }
    if let Some(hint) = super::programs::unknown(&field) {
        return Err(format!("a queue has no setting {field:?}{hint}"));
    }
    Ok((name, field, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> Result<Flags, clap::Error> {
        let command = Flags::augment_args(Command::new("serve").no_binary_name(true));
        Flags::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    #[test]
    fn a_queue_is_pull_push_or_a_command() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let of = |text: &str| queue(text).map(|(_, worker)| worker);
        assert_eq!(of("thumbs"), Ok(Worker::Pull));
        assert_eq!(
            of("thumbs=http://a:8000/x?y=z,http://b/x"),
            Ok(Worker::Push(words(&["http://a:8000/x?y=z", "http://b/x"])))
        );
        assert_eq!(
            of("thumbs=cmd:./resize.sh --size '10 20' a=b"),
            Ok(Worker::Process(words(&["./resize.sh", "--size", "10 20", "a=b"])))
        );
        assert_eq!(
            of("thumbs=keep-alive:./worker.py x"),
            Ok(Worker::KeepAlive(words(&["./worker.py", "x"])))
        );
    }

    #[test]
    fn what_is_no_queue_or_no_setting_is_refused() {
        for bad in [
            "",
            "=x",
            "a b",
            "thumbs=",
            "thumbs=./x",
            "thumbs=cmd:",
            "thumbs=cmd:''",
            "thumbs=keep-alive:",
            "thumbs=cmd:'x",
        ] {
            assert!(queue(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "q",
            "q.depth",
            "depth=1",
            "q.worker=pull",
            ".depth=1",
            "q.colour=red",
        ] {
            assert!(setting(bad).is_err(), "{bad:?}");
        }
        assert_eq!(setting("eu.thumbs.depth=1").unwrap().0.as_str(), "eu.thumbs");
        assert!(
            setting("q.concurency=1")
                .unwrap_err()
                .contains("did you mean concurrency?")
        );
    }

    #[test]
    fn flags_say_what_the_table_names() {
        let said = flags(&[
            "--drain",
            "7s",
            "--dev",
            "--allow-targets",
            "10.0.0.0/8,::1",
            "--queue",
            "q",
        ])
        .unwrap();
        assert_eq!(said.values["drain"].texts, ["7s"]);
        assert_eq!(said.values["dev"].texts, ["true"]);
        assert_eq!(said.values["allow_targets"].texts, ["10.0.0.0/8", "::1"]);
        assert_eq!(said.values["drain"].origin.to_string(), "--drain");
        assert_eq!(flags(&["--dev=false"]).unwrap().values["dev"].texts, ["false"]);
        assert!(flags(&["--drain", "soon"]).is_err());
        assert!(flags(&["--queue", "q", "--queue", "q=http://a"]).is_err());
    }
}
