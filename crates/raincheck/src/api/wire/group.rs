//! A group's limits: as one writes them, and as they are in force.
//!
//! Invariant: what a PUT takes, the document shows under the same name.

use std::collections::BTreeMap;

use raincheck_core::group::GroupSpec;
use raincheck_core::limit::Rate;
use raincheck_core::name::{GroupName, QueueName};
use raincheck_core::store::GroupStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::submit::fields;
use crate::api::text;
use crate::fields::fields_of;
use crate::near::told;

/// What bounds a group of a queue, and where each limit comes from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupDocument<'a> {
    /// Its queue.
    #[schema(value_type = String, example = "thumbs")]
    queue: &'a QueueName,
    /// Its name.
    #[schema(value_type = String, example = "tenant-7")]
    group: &'a GroupName,
    /// At most so many of its jobs run at once; null where there is no bound.
    #[schema(example = 2)]
    concurrency: Option<u32>,
    /// At most so many of its jobs start in so much time; null where there is no bound.
    #[schema(value_type = Option<String>, example = "10/s")]
    rate: Option<Rate>,
    /// So many of them may start at once after a pause; null without a rate.
    #[schema(example = 10)]
    burst: Option<u32>,
    /// Where each comes from: `set` for this group, the queue's `group_defaults`, or `default`.
    origin: BTreeMap<&'static str, &'static str>,
}

impl<'a> GroupDocument<'a> {
    pub(crate) fn of(status: &'a GroupStatus, group: &'a GroupName) -> Self {
        let written = status.written.unwrap_or_default();
        let defaults = status.queue.spec.group_defaults.unwrap_or_default();
        let force = written.over(Some(&defaults));
        let from = |own: bool, default: bool| match (own, default) {
            (true, _) => "set",
            (false, true) => "group_defaults",
            (false, false) => "default",
        };
        let burst = match written.rate {
            Some(_) => from(written.burst.is_some(), false),
            None => from(false, defaults.burst.is_some()),
        };
        Self {
            queue: &status.queue.name,
            group,
            concurrency: force.concurrency,
            rate: force.rate,
            burst: force.burst,
            origin: BTreeMap::from([
                (
                    "concurrency",
                    from(written.concurrency.is_some(), defaults.concurrency.is_some()),
                ),
                ("rate", from(written.rate.is_some(), defaults.rate.is_some())),
                ("burst", burst),
            ]),
        }
    }
}

/// Reads limits.
///
/// # Errors
/// Why they cannot be, and of which field, where one is to blame.
pub(crate) fn read(body: &[u8]) -> Result<GroupSpec, (String, String)> {
    if !body.trim_ascii_start().starts_with(b"{") {
        let why = "not a JSON object: write one such as {\"concurrency\": 2, \"rate\": \"10/s\"}";
        return Err((String::new(), why.to_owned()));
    }
    let known = fields_of::<GroupSpec>();
    // What is no JSON is told below.
    for (name, _) in fields(body).unwrap_or_default() {
        if !known.contains(&&*name) {
            let (why, shown) = (
                text::no_such(
                    "setting",
                    &name,
                    known.iter().copied(),
                    "a group takes concurrency, rate and burst",
                ),
                text::short(&name),
            );
            return Err((format!("/{shown}"), format!("the setting {shown:?}: {why}")));
        }
    }
    let spec: GroupSpec = serde_json::from_slice(body)
        .map_err(|error| (String::new(), format!("the limits of a group: {}", told(error))))?;
    spec.check()
        .map_err(|error| (format!("/{}", error.field), error.to_string()))?;
    Ok(spec)
}

/// Limits of a group; what is left out is as the queue's `group_defaults` have it. A PUT replaces the whole.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes raincheck_core's GroupSpec, which knows nothing of OpenAPI"
)]
pub(crate) struct GroupSettings {
    /// At most so many of its jobs run at once, 1 to 100,000.
    #[schema(minimum = 1, maximum = 100_000)]
    concurrency: Option<u32>,
    /// At most so many of its jobs start in so much time, such as `10/s`, `5/m`, `100/h` or `7/d`.
    rate: Option<String>,
    /// So many of them may start at once after a pause, 1 to 1,000,000: one second of `rate` unless given, with which it goes.
    #[schema(minimum = 1, maximum = 1_000_000)]
    burst: Option<u32>,
}
