//! One job by its id, or all that a filter matches: what `cancel`, `retry` and `delete` share.
//!
//! Invariant: what is acted on is what the preview counted and the user said yes to, however long it takes.

use std::collections::BTreeMap;

use bytes::Bytes;
use clap::Args;
use http::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;

use super::list::ago;
use crate::client::Request;
use crate::confirm::Confirm;
use crate::exit::Failed;
use crate::named::Named;
use crate::output::Shape;
use crate::session::{About, Session};

/// Which jobs are meant.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// The job: its id, or a link to it
    #[arg(
        required_unless_present_any = ["queue", "state", "tag", "group", "batch", "after", "before"],
        conflicts_with_all = ["queue", "state", "tag", "group", "batch", "after", "before", "dry_run"],
    )]
    pub(super) job: Option<Named>,
    /// All jobs of this queue
    #[arg(long, value_name = "QUEUE", help_heading = "Many jobs")]
    queue: Option<String>,
    /// All jobs that stand so: scheduled, queued, running, succeeded, failed, cancelled, expired
    #[arg(long, value_name = "STATE", help_heading = "Many jobs")]
    state: Option<String>,
    /// All jobs with this label
    #[arg(long, value_name = "TAG", help_heading = "Many jobs")]
    tag: Option<String>,
    /// All jobs of this group
    #[arg(long, value_name = "GROUP", help_heading = "Many jobs")]
    group: Option<String>,
    /// All jobs of this batch
    #[arg(long, value_name = "BATCH", help_heading = "Many jobs")]
    batch: Option<String>,
    /// All jobs submitted after this: 2026-11-21T06:00:00Z, @1795240800, or so long ago: 1h
    #[arg(long, value_name = "TIME", help_heading = "Many jobs")]
    after: Option<String>,
    /// All jobs submitted before this
    #[arg(long, value_name = "TIME", help_heading = "Many jobs")]
    before: Option<String>,
    /// Tell how many jobs it would be, change nothing
    #[arg(long, conflicts_with = "yes", help_heading = "Many jobs")]
    dry_run: bool,
    #[command(flatten)]
    pub(super) confirm: Confirm,
}

#[derive(Deserialize)]
struct Preview {
    count: u64,
    exact: bool,
    confirm: Option<String>,
}

#[derive(Deserialize)]
struct Done {
    acted: u64,
    refused: BTreeMap<String, u64>,
    remaining: u64,
    confirm: Option<String>,
}

/// An action on many, and how people write it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed {
    /// As the server knows it: `cancel`.
    pub(super) action: &'static str,
    /// At the start of a question: `Cancel`.
    pub(super) ask: &'static str,
    /// Once it is done: `cancelled`.
    pub(super) done: &'static str,
}

impl Which {
    fn filter(&self) -> serde_json::Value {
        let time = |text: &Option<String>| {
            text.as_ref()
                .map(|text| ago(text).unwrap_or_else(|| text.clone()))
        };
        json!({
            "queue": self.queue,
            "state": self.state,
            "tag": self.tag,
            "group": self.group,
            "batch": self.batch,
            "submitted_after": time(&self.after),
            "submitted_before": time(&self.before),
        })
    }

    /// Acts on all jobs that the filter matches, once somebody said yes.
    pub(super) async fn run(&self, session: &Session, deed: Deed) -> Result<(), Failed> {
        let filter = self.filter();
        let ask = |confirm: Option<&str>| {
            let body = json!({"action": deed.action, "filter": filter, "confirm": confirm}).to_string();
            let json = HeaderValue::from_static("application/json");
            Request::post("/v1/jobs/bulk").body(Some(json), Bytes::from(body))
        };
        let preview: Preview = session.call(ask(None), About::Server).await?.json()?;
        let about = if preview.exact { "" } else { "at least " };
        if self.dry_run {
            return write(
                session,
                &format!("would_{}", deed.action),
                preview.count,
                &BTreeMap::new(),
            );
        }
        let mut acted = 0;
        let mut refused = BTreeMap::new();
        let mut confirm = preview.confirm;
        if confirm.is_some() {
            let question = format!("{} {about}{} jobs?", deed.ask, preview.count);
            let command = session.command(&format!("job {} …", deed.action));
            self.confirm.ask(&question, &command)?;
        }
        while let Some(token) = confirm {
            let done: Done = session.call(ask(Some(&token)), About::Server).await?.json()?;
            acted += done.acted;
            for (code, count) in done.refused {
                *refused.entry(code).or_default() += count;
            }
            confirm = done.confirm;
            if confirm.is_some() {
                let left = done.remaining;
                session
                    .output
                    .note(&format!("{acted} {} so far, {left} or so to go", deed.done));
            }
        }
        for (code, count) in &refused {
            session.output.note(&format!("{count} were refused: {code}"));
        }
        write(session, deed.done, acted, &refused)
    }
}

fn write(session: &Session, what: &str, count: u64, refused: &BTreeMap<String, u64>) -> Result<(), Failed> {
    let output = session.output;
    match output.shape {
        Shape::Json if refused.is_empty() => output.line(&json!({ what: count }).to_string()),
        Shape::Json => output.line(&json!({ what: count, "refused": refused }).to_string()),
        Shape::Quiet => output.line(&count.to_string()),
        Shape::Terminal => output.line(&format!("{}  {count}", what.replace('_', " "))),
        Shape::Plain => output.fields(&[what, &count.to_string()]),
    }
}
