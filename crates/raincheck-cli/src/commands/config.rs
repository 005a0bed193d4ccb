//! `raincheck config`: what the server would be started with, and what is wrong with a file.
//!
//! Invariant: nothing is changed and no server is asked.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json};

use super::serve::before;
use crate::config::{Config as Configuration, Flags, reference};
use crate::exit::{Exit, Failed};
use crate::output::{Output, Shape, say};
use crate::table::{Table, Value};

const EXAMPLES: &str = "\
Examples:
  raincheck config show --origin
  raincheck config show --config ./staging.toml --json
  raincheck config check raincheck.toml";

/// Looks at the configuration.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Config {
    /// Show what `raincheck serve`, given these flags here and now, would be started with
    Show(Box<Show>),
    /// Find all mistakes of a file, and what else `raincheck serve` would be refused for with it, here and now; ends with 2 where
    /// there are any
    Check(Check),
    /// Print the reference of all settings
    #[command(hide = true)]
    Reference,
}

/// Shows the configuration.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Say of each value where it comes from
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Checks a file.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Config {
    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<(), Failed> {
        match self {
            Self::Show(show) => show.run(output),
            Self::Check(check) => check.run(output),
            Self::Reference => output.line(reference().trim_end()),
        }
    }
}

impl Show {
    fn run(&self, output: Output) -> Result<(), Failed> {
        let config = Configuration::load(&self.flags)?;
        config.passed_over.iter().for_each(|what| output.note(what));
        if output.shape == Shape::Json {
            let document = document(&config, self.origin);
            return output.line(&format!("{document:#}"));
        }
        let heads: &'static [&'static str] = if self.origin {
            &["SETTING", "VALUE", "ORIGIN"]
        } else {
            &["SETTING", "VALUE"]
        };
        let mut table = Table::new(heads);
        for shown in config.shown() {
            let mut row = vec![Value::text(&shown.name), Value::text(&plain(&shown.value))];
            if self.origin {
                row.push(Value::text(&shown.origin.to_string()));
            }
            table.row(row);
        }
        table.write(output)
    }
}

/// A value as a person writes it.
fn plain(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(values) if values.is_empty() => "-".to_owned(),
        Json::Array(values) if values.iter().all(Json::is_string) => {
            let texts: Vec<_> = values.iter().filter_map(Json::as_str).collect();
            texts.join(",")
        }
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
    }
}

/// One object: each setting by its name, the queues in `queues`, the file that was read in `file`.
fn document(config: &Configuration, with_origin: bool) -> Json {
    let mut settings = Map::new();
    let mut queues = Map::new();
    for queue in config.queues.keys() {
        queues.insert(queue.as_str().to_owned(), Json::Object(Map::new()));
    }
    for shown in config.shown() {
        let value = if with_origin {
            serde_json::json!({"value": shown.value, "origin": shown.origin.to_string()})
        } else {
            shown.value
        };
        let of_queue = shown
            .name
            .strip_prefix("queues.")
            .and_then(|rest| rest.rsplit_once('.'));
        match of_queue.and_then(|(queue, field)| Some((queues.get_mut(queue)?.as_object_mut()?, field))) {
            Some((queue, field)) => queue.insert(field.to_owned(), value),
            None => settings.insert(shown.name, value),
        };
    }
    let file = config.file.as_ref().map(|path| path.display().to_string());
    serde_json::json!({"file": file, "settings": settings, "queues": queues})
}

impl Check {
    /// What is wrong in the file itself, else all that a server would be refused for that is given it here and now.
    fn look(&self) -> Result<(), Vec<Failed>> {
        let config = Configuration::load_whole(&self.file)?;
        let refused = |all: Vec<before::Refusal>| all.into_iter().map(|one| one.failed).collect();
        before::ready(&config, false).map(drop).map_err(refused)
    }

    fn run(&self, output: Output) -> Result<(), Failed> {
        let mistakes: Vec<String> = match self.look() {
            Ok(()) => Vec::new(),
            Err(all) => all.iter().map(Failed::to_string).collect(),
        };
        if output.shape == Shape::Json {
            output.line(&Json::from(mistakes.clone()).to_string())?;
        } else {
            for mistake in &mistakes {
                say(&crate::output::visible(mistake));
            }
        }
        if mistakes.is_empty() {
            output.note(&format!("{}: no mistakes", self.file.display()));
            Ok(())
        } else {
            Err(Failed::silent(Exit::Usage))
        }
    }
}
