//! What programs may take, where they work and as whom: the settings `program_*`, of a server and of single queues.
//!
//! Invariant: a queue may say each of them but one for itself, under the same name; none of them is a field of the API.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use raincheck::core::name::QueueName;
use raincheck::core::queue::QueueSpec;
use raincheck::fields::fields_of;
use raincheck::near::{hint, told};
use raincheck::workers::process::{Confinement, Limits, Rules};
use serde_json::Value as Json;

use super::flags::{arg, said};
use super::origin::{Found, Origin};
use super::queues::{Fields, Queues};
use super::table::{Row, Settings, TABLE, Values};
use crate::exit::Failed;

/// What their names begin with.
const BEGIN: &str = "program_";
/// The one that holds for a whole process, because it cannot be taken back.
const OF_ALL: &str = "program_new_privileges";

/// The same settings as flags of a command that runs one program.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProgramFlags(Values);

impl Args for ProgramFlags {
    fn augment_args(command: Command) -> Command {
        rows().fold(command, |command, row| {
            command.arg(arg(row).help_heading("What the program may do"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ProgramFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        said(matches, rows()).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ProgramFlags {
    /// What the flags say, over what the environment says; and whether the program may gain privileges.
    ///
    /// # Errors
    /// A value that is none of its setting, or a user whom this process cannot become.
    pub(crate) fn read(&self) -> Result<(Confinement, bool), Failed> {
        let mut values = Values::new();
        for row in rows() {
            let variable = row.variable();
            if let Some(text) = std::env::var(&variable).ok().filter(|text| !text.is_empty()) {
                let found = Found {
                    texts: vec![text],
                    origin: Origin::Variable(variable),
                };
                values.insert(row.name, found);
            }
        }
        values.extend(self.0.clone());
        let gain = Settings::of(&values)?.program_new_privileges;
        Ok((confinement(&values)?, gain))
    }
}

/// The settings of programs.
fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(|row| row.name.starts_with(BEGIN))
}

/// The one of this name, if a queue may say it.
pub(super) fn row(field: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == field && row.name != OF_ALL)
}

/// What may be said of a queue: the fields of the API, and what programs may do.
pub(super) fn fields() -> impl Iterator<Item = &'static str> + Clone {
    let own = TABLE
        .iter()
        .map(|row| row.name)
        .filter(|name| row(name).is_some());
    fields_of::<QueueSpec>().iter().copied().chain(own)
}

/// Whether nothing of the kind can be said of a queue, and what was probably meant.
pub(super) fn unknown(field: &str) -> Option<String> {
    let known = fields().any(|name| name == field);
    (!known).then(|| hint(field, fields()))
}

/// Whether a value is one of a queue's setting, by its type.
pub(super) fn fits(field: &str, value: &Json) -> Result<(), String> {
    match row(field) {
        Some(row) => (row.check)(&[text(value)]),
        None => {
            let alone = Json::Object([(field.to_owned(), value.clone())].into_iter().collect());
            serde_json::from_value::<QueueSpec>(alone).map(drop).map_err(told)
        }
    }
}

/// A value as a flag writes it.
fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What holds for the programs of a server.
///
/// # Errors
/// A user whom this machine does not have, or whom this process cannot become.
pub(super) fn rules(values: &Values, queues: &Queues) -> Result<Rules, Failed> {
    let mut rules = Rules {
        all: confinement(values)?,
        queues: std::collections::BTreeMap::new(),
    };
    for (name, fields) in queues {
        if let Some(own) = own(values, fields) {
            rules.queues.insert(
                name.clone(),
                confinement(&own).map_err(|failed| about(name, failed))?,
            );
        }
    }
    Ok(rules)
}

/// The settings of a queue's programs, where it says any of them itself.
fn own(values: &Values, fields: &Fields) -> Option<Values> {
    let said = fields
        .said
        .iter()
        .filter_map(|(field, said)| Some((row(field)?, said)));
    let mut own = None;
    for (row, said) in said {
        let own: &mut Values = own.get_or_insert_with(|| values.clone());
        let origin = said.origin.clone();
        match &said.value {
            Some(value) => own.insert(
                row.name,
                Found {
                    texts: vec![text(value)],
                    origin,
                },
            ),
            // Nothing is the default, and not what is said of all.
            None => own.remove(row.name),
        };
    }
    own
}

fn about(name: &QueueName, failed: Failed) -> Failed {
    Failed {
        message: format!("queue {name}: {}", failed.message),
        ..failed
    }
}

/// What these settings say of a program.
///
/// # Errors
/// A user whom this machine does not have, or whom this process cannot become.
fn confinement(values: &Values) -> Result<Confinement, Failed> {
    let settings = Settings::of(values)?;
    let user = match &settings.program_user.0 {
        None => None,
        Some(name) => {
            let origin = values
                .get("program_user")
                .map_or(&Origin::Default, |found| &found.origin);
            let at = origin.about("program_user");
            let user = name.look_up().map_err(|why| {
                Failed::usage(format!("{at}: {why}")).next("See whom this machine has: getent passwd")
            })?;
            let own = rustix::process::geteuid();
            if !own.is_root() && own.as_raw() != user.uid {
                return Err(Failed::usage(format!(
                    "{at}: programs can run as {name} only where root starts this, and it runs as user {}",
                    own.as_raw()
                ))
                .next("Leave the setting out: they run as whoever starts this"));
            }
            // Who is that user already need not become it, and could not.
            own.is_root().then_some(user)
        }
    };
    Ok(Confinement {
        limits: Limits {
            cpu: settings.program_cpu.0,
            memory: settings.program_memory.0,
            open_files: settings.program_open_files.0,
            file_size: settings.program_file_size.0,
        },
        workplace: settings.program_folder,
        user,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;
    use raincheck::workers::process::Workplace;

    fn read(text: &str) -> Result<Rules, String> {
        let file = file::parse(&"f.toml".into(), text).map_err(|all| all[0].to_string())?;
        rules(&file.values, &file.queues).map_err(|failed| failed.to_string())
    }

    #[test]
    fn a_queue_says_for_itself_what_it_does_not_share() {
        let said = read(
            "program_memory = \"1GiB\"\nprogram_open_files = 64\n[queues.a]\nprogram_memory = \"none\"\n\
             program_folder = \"private\"\nprogram_cpu = \"90s\"\n[queues.b]\nconcurrency = 1\n",
        )
        .unwrap();
        assert_eq!(said.all.limits.memory.map(|size| size.0), Some(1 << 30));
        assert_eq!(said.all.workplace, Workplace::Inherited);
        assert_eq!(said.queues.len(), 1);
        let own = &said.queues[&QueueName::new("a").unwrap()];
        assert_eq!((own.limits.memory, own.limits.open_files), (None, Some(64)));
        assert_eq!(own.limits.cpu, Some(std::time::Duration::from_secs(90)));
        assert_eq!(own.workplace, Workplace::Private);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (text, part) in [
            ("program_memory = \"much\"", "f.toml:1: program_memory: "),
            (
                "[queues.a]\nprogram_memory = \"much\"",
                "f.toml:2: queues.a.program_memory: ",
            ),
            ("[queues.a]\nprogram_memry = 1", "did you mean program_memory?"),
            ("[queues.a]\nprogram_new_privileges = true", "there is no setting"),
            (
                "program_user = \"nobody-at-all\"",
                "f.toml:1: program_user: this machine has no user",
            ),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(part), "{text:?}: {refused}");
        }
    }
}
