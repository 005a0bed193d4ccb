//! `--set`: settings of the queues that the server's command line defines.
//!
//! Invariant: a setting is written and checked as `raincheck queue set` does it; what is not named keeps its value.

use std::str::FromStr;

use raincheck::core::name::QueueName;
use raincheck::core::queue::QueueSpec;
use serde_json::{Map, Value as Json};

use crate::commands::queue::set::change;
use crate::exit::Failed;

/// One `--set NAME.FIELD=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    /// The queue.
    pub(crate) queue: QueueName,
    field: String,
    /// `None` goes back to the default.
    value: Option<Json>,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write NAME.FIELD=VALUE, such as thumbs.concurrency=4";
        let end = text.find(['=', ':']).ok_or(FORM)?;
        // A queue's name may hold dots, a setting's does not.
        let dot = text[..end].rfind('.').ok_or(FORM)?;
        let queue = QueueName::new(&text[..dot]).map_err(|error| error.to_string())?;
        let (field, value) = change(&text[dot + 1..]).map_err(|failed| failed.to_string())?;
        if field == "worker" {
            return Err("how a queue is worked is said by --queue".to_owned());
        }
        Ok(Self { queue, field, value })
    }
}

/// The spec with these settings.
pub(crate) fn apply<'a>(
    spec: &QueueSpec,
    settings: impl Iterator<Item = &'a Setting>,
) -> Result<QueueSpec, Failed> {
    let mut written: Map<String, Json> = match serde_json::to_value(spec) {
        Ok(Json::Object(written)) => written,
        Ok(_) | Err(_) => Map::new(),
    };
    let mut named = Vec::new();
    for setting in settings {
        named.push(format!("--set {}.{}", setting.queue, setting.field));
        match &setting.value {
            Some(value) => written.insert(setting.field.clone(), value.clone()),
            None => written.remove(&setting.field),
        };
    }
    serde_json::from_value(Json::Object(written))
        .map_err(|error| Failed::usage(format!("{}: {error}", named.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(settings: &[&str]) -> Result<QueueSpec, Failed> {
        let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
        let spec = QueueSpec {
            depth: Some(5),
            ..QueueSpec::default()
        };
        apply(&spec, settings.iter())
    }

    #[test]
    fn a_setting_changes_itself_and_no_other() {
        let spec = applied(&["eu.thumbs.concurrency=2", "eu.thumbs.timeout=10m"]).unwrap();
        assert_eq!((spec.concurrency, spec.depth), (Some(2), Some(5)));
        assert_eq!(spec.timeout, Some(std::time::Duration::from_secs(600)));
        assert_eq!(applied(&["q.depth="]).unwrap().depth, None);
        assert_eq!(
            "eu.thumbs.depth=1".parse::<Setting>().unwrap().queue.as_str(),
            "eu.thumbs"
        );
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for bad in ["", "q", "q.depth", "depth=1", "q.worker=pull", ".depth=1"] {
            assert!(bad.parse::<Setting>().is_err(), "{bad:?}");
        }
        let refused = applied(&["q.colour=red"]).unwrap_err().to_string();
        assert!(
            refused.starts_with("--set q.colour: unknown field `colour`"),
            "{refused}"
        );
        assert!(applied(&["q.timeout=soon"]).is_err());
    }
}
