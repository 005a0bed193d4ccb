//! What a file says of single groups of a queue.
//!
//! Invariant: what means nothing is refused, as in the queue's own settings.

use raincheck::core::group::GroupSpec;
use raincheck::fields::fields_of;
use raincheck::near::{hint, told};
use serde_json::Value as Json;

/// What is said of a group.
///
/// # Errors
/// What it says that cannot be.
pub(super) fn group(value: Json) -> Result<GroupSpec, String> {
    let known = fields_of::<GroupSpec>();
    if let Some(settings) = value.as_object()
        && let Some(unknown) = settings.keys().find(|name| !known.contains(&name.as_str()))
    {
        return Err(format!(
            "there is no setting {unknown:?}{}",
            hint(unknown, known.iter().copied())
        ));
    }
    let spec: GroupSpec = serde_json::from_value(value).map_err(told)?;
    spec.check().map_err(|error| error.to_string())?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use raincheck::core::name::{GroupName, QueueName};

    use crate::config::file;

    #[test]
    fn single_groups_have_limits_of_their_own() {
        let text =
            "[queues.a]\nconcurrency = 9\n[queues.a.groups.\"tenant 7\"]\nconcurrency = 2\nrate = \"5/s\"\n";
        let file = file::parse(&"f.toml".into(), text).unwrap();
        let queue = &file.queues[&QueueName::new("a").unwrap()];
        let (spec, origin) = &queue.groups[&GroupName::new("tenant 7").unwrap()];
        assert_eq!((spec.concurrency, spec.rate.is_some()), (Some(2), true));
        assert_eq!(origin.to_string(), "f.toml:3");
        for (text, part) in [
            ("[queues.a]\ngroups = 1", "[queues.a.groups.NAME]"),
            ("[queues.a.groups.b]\nconcurency = 1", "did you mean concurrency?"),
            ("[queues.a.groups.b]\nconcurrency = 0", "is 1 to 100000"),
            (
                "[queues.a.groups.b]\nconcurrency = \"x\"",
                "expected a whole number",
            ),
            (
                "[queues.a.group_defaults]\nconcurency = 1",
                "did you mean concurrency?",
            ),
            ("[queues.a.groups]\nb = 1", "queues.a.groups.b: "),
        ] {
            let all = file::parse(&"f.toml".into(), text).unwrap_err();
            assert!(
                all.len() == 1 && all[0].to_string().contains(part),
                "{text:?}: {all:?}"
            );
        }
    }
}
