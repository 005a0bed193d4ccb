//! The server's log: text for people, JSON lines for machines.
//!
//! Invariant: one event is one line, whatever is in it; inputs and results are never logged (they are never passed
//! in).

use raincheck::near::hint;
use std::fmt::{self, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr;

use clap::ValueEnum;
use raincheck::api::request_id;
use tracing::field::{Field, Visit};
use tracing::subscriber::set_global_default;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::{Compact, Format, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON lines otherwise
    Auto,
    /// A line of text for each event
    Text,
    /// A JSON object for each event
    Json,
}

impl LogFormat {
    /// Whether events are JSON lines.
    pub(crate) fn is_json(self) -> bool {
        match self {
            Self::Auto => !std::io::stderr().is_terminal(),
            Self::Text => false,
            Self::Json => true,
        }
    }
}

/// What is logged; may be set anew while the server runs.
#[derive(Clone, Debug)]
pub(crate) struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// From now on this is logged.
    pub(crate) fn set(&self, levels: &LogLevels) {
        // It fails only where the logger is gone, and then nobody logs.
        let _ = self.0.reload(levels.filter());
    }
}

/// What is to be logged: a level, or levels by module.
#[derive(Clone, Debug)]
pub(crate) struct LogLevels(String);

impl LogLevels {
    fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl FromStr for LogLevels {
    type Err = String;

    /// A word alone is a level: what a filter would take for the name of a module, of which everything is logged and of all others
    /// nothing, is a level that was mistyped.
    fn from_str(text: &str) -> Result<Self, String> {
        let known = ["off", "error", "warn", "info", "debug", "trace"];
        let how =
            "write a level (off, error, warn, info, debug, trace), or levels by module: info,raincheck=debug";
        let parts: Vec<_> = text.split(',').map(str::trim).collect();
        for word in parts
            .iter()
            .filter(|word| !word.contains(['=', '[', ']', '{', '}']))
        {
            if !known.iter().any(|known| word.eq_ignore_ascii_case(known)) {
                return Err(format!(
                    "{word:?} is no level{}; {how}",
                    hint(word, known.iter().copied())
                ));
            }
        }
        // A filter miscounts where a part begins with a space: it takes another module than is written, or panics.
        let levels = parts.join(",");
        match EnvFilter::try_new(&levels) {
            Ok(_) => Ok(Self(levels)),
            Err(error) => Err(format!("{text:?} cannot be read: {error}; {how}")),
        }
    }
}

/// Starts logging to stderr.
pub(crate) fn start(levels: &LogLevels, format: LogFormat, colour: bool) -> LogFilter {
    let (filter, handle) = reload::Layer::new(levels.filter());
    let registry = tracing_subscriber::registry().with(filter);
    let started = if format.is_json() {
        set_global_default(registry.with(JsonLines))
    } else {
        let text = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(colour)
            .event_format(Lines(
                tracing_subscriber::fmt::format()
                    .with_target(false)
                    .with_ansi(colour)
                    .compact(),
            ));
        set_global_default(registry.with(text))
    };
    // It fails only where a logger is there already, and then that one serves.
    let _ = started;
    LogFilter(handle)
}

/// Tells the request during which something is logged, unless the line does.
fn asked(event: &Event<'_>, tell: impl FnOnce(&str)) {
    const NAME: &str = "request_id";
    if event.metadata().fields().field(NAME).is_none() {
        request_id(|id| id.map(tell));
    }
}

/// Writes events as lines of text, with the request that was being answered at the end.
#[derive(Debug)]
struct Lines(Format<Compact>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        to.write_str(line.trim_end_matches('\n'))?;
        let mut written = Ok(());
        asked(event, |id| written = write!(to, " request_id={id:?}"));
        written?;
        to.write_char('\n')
    }
}

/// Writes events as JSON lines: `ts`, `level`, `msg`, the fields of the spans around it, its own fields, and `request_id` where a
/// request was being answered.
#[derive(Debug)]
struct JsonLines;

/// Fields as the inside of a JSON object, each with a comma before it.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    json: String,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &tracing::Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut line = head(&timestamp(), event.metadata().level().as_str(), &own.message);
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.push_str(&fields.json);
            }
        }
        line.push_str(&own.json);
        asked(event, |id| {
            // Writing to a string does not fail.
            let _ = write!(line, ",\"request_id\":{}", serde_json::Value::from(id));
        });
        line.push_str("}\n");
        // Nobody is there to be told that the log cannot be written.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn head(ts: &str, level: &str, message: &str) -> String {
    let message = serde_json::Value::from(message);
    format!(
        "{{\"ts\":\"{ts}\",\"level\":\"{}\",\"msg\":{message}",
        level.to_ascii_lowercase()
    )
}

/// The wall time with milliseconds: `2026-11-21T02:11:04.123Z`.
fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    match text.split_once('.') {
        Some((seconds, rest)) => format!("{seconds}.{}Z", rest.get(..3).unwrap_or("000")),
        None => text,
    }
}

impl Fields {
    fn add(&mut self, field: &Field, value: &serde_json::Value) {
        // The log's names have underscores where the code's have dots: `job.id` is `job_id`.
        let name = serde_json::Value::from(field.name().replace('.', "_"));
        let _ = write!(self.json, ",{name}:{value}");
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.add(field, &format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.add(field, &value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.add(field, &text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Collects what [`JsonLines`] would write of an event's fields.
    struct Collect(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collect {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut own = Fields::default();
            event.record(&mut own);
            let line = format!(
                "{}{}}}",
                head("T", event.metadata().level().as_str(), &own.message),
                own.json
            );
            self.0.lock().unwrap().push(line);
        }
    }

    #[test]
    fn an_event_is_one_line_of_json_whatever_is_in_it() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Collect(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(job.id = %"job_1", attempt = 2, ok = true, odd = "a\"\n\u{1b}", "job finished");
            tracing::warn!("a\nb");
        });
        assert_eq!(
            *lines.lock().unwrap(),
            [
                r#"{"ts":"T","level":"info","msg":"job finished","job_id":"job_1","attempt":2,"ok":true,"odd":"a\"\n\u001b"}"#,
                r#"{"ts":"T","level":"warn","msg":"a\nb"}"#,
            ]
        );
    }

    #[test]
    fn a_line_is_stamped_with_milliseconds() {
        let text = timestamp();
        assert_eq!(text.len(), "2026-11-21T02:11:04.123Z".len(), "{text}");
        assert!(text.parse::<raincheck::core::time::Timestamp>().is_ok(), "{text}");
    }

    #[test]
    fn spaces_between_levels_by_module_mean_nothing() {
        let spaced: LogLevels = " info, raincheck=debug ".parse().unwrap();
        assert_eq!(spaced.filter().to_string(), "raincheck=debug,info");
    }

    #[test]
    fn no_space_before_a_module_breaks_the_reader_of_levels() {
        assert!(" gn\u{202e}=debug".parse::<LogLevels>().is_ok());
        assert!("info,\u{3000}n\u{e4}her=debug".parse::<LogLevels>().is_ok());
    }
}
