//! What the server says first: where the API is, where the data is, who may come in, and what to try.
//!
//! Invariant: at most eight lines.

use std::path::PathBuf;
use std::time::Duration;

use raincheck::core::queue::Worker;
use raincheck::core::time::format_duration;

use crate::config::queues::Wanted;
use crate::output::{Output, Paint, Shape, paint, say, visible};

/// What there is to say.
#[derive(Debug)]
pub(crate) struct Banner {
    /// The address.
    pub(crate) url: String,
    /// All addresses, where there are several.
    pub(crate) urls: Vec<String>,
    /// The API's URL: that address, or below it.
    pub(crate) api: String,
    /// The rules of a proxy, for people.
    pub(crate) proxied: Vec<String>,
    /// The store's directory, absolute.
    pub(crate) store: PathBuf,
    /// Whether the store was made just now.
    pub(crate) fresh: bool,
    /// The queues of the configuration.
    pub(crate) queues: Vec<Wanted>,
    /// Whether unknown queues are created.
    pub(crate) dev: bool,
    /// How long a drain may take.
    pub(crate) drain: Duration,
}

impl Banner {
    /// Says it: on stdout what programs want to know, if they asked; otherwise on stderr, unless the log is JSON.
    pub(crate) fn show(&self, output: Output, json_log: bool) -> Result<(), crate::exit::Failed> {
        if json_log {
            let version = env!("CARGO_PKG_VERSION");
            let urls = self.urls.join(" ");
            tracing::info!(url = self.url, urls, api = self.api, store = %self.store.display(), version, "listening");
        }
        match output.shape {
            Shape::Quiet => output.line(&self.url),
            Shape::Json => output.line(&self.document()),
            Shape::Terminal | Shape::Plain if json_log => Ok(()),
            Shape::Terminal | Shape::Plain => {
                say(&self.text(output.stderr_colour));
                Ok(())
            }
        }
    }

    fn document(&self) -> String {
        serde_json::json!({
            "url": self.url,
            "urls": self.urls,
            "api": self.api,
            "store": self.store.display().to_string(),
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
        })
        .to_string()
    }

    fn text(&self, colour: bool) -> String {
        let names = self
            .queues
            .iter()
            .map(|queue| format!("{} ({})", queue.name, worker(queue).kind()));
        let mut queues = names.collect::<Vec<_>>().join(", ");
        if self.dev {
            queues.push_str(if queues.is_empty() {
                "created as they are named"
            } else {
                ", others as they are named"
            });
        } else if queues.is_empty() {
            queues.push_str("none configured; create one over the API, or with --queue NAME");
        }
        let third = match self.proxied.is_empty() {
            true => ("Queues", queues),
            false => ("Proxy", self.proxied.join(", ")),
        };
        let fresh = if self.fresh { " (new)" } else { "" };
        let store = self.store.display().to_string();
        let lines = [
            ("API", self.apis()),
            ("Data", format!("{}{fresh}", visible(&store))),
            third,
            ("Access", "open, without keys, to this machine only".to_owned()),
            ("Try", self.curl()),
            (
                "Stop",
                format!("Ctrl-C; running jobs get {}", format_duration(self.drain)),
            ),
        ];
        let mut text = paint(
            &format!("Raincheck {}", env!("CARGO_PKG_VERSION")),
            Paint::Good,
            colour,
        )
        .into_owned();
        for (name, value) in lines {
            text.push_str(&format!(
                "\n  {} {value}",
                paint(&format!("{name:<7}"), Paint::Dim, colour)
            ));
        }
        text
    }

    /// The API's URL, and at what other addresses it is.
    fn apis(&self) -> String {
        let others = self.urls.iter().filter(|url| **url != self.url);
        let others: Vec<_> = others.map(String::as_str).collect();
        match others.as_slice() {
            [] => self.api.clone(),
            others => format!("{}, also at {}", self.api, others.join(" ")),
        }
    }

    /// One command that shows something.
    fn curl(&self) -> String {
        if !self.proxied.is_empty() {
            return format!("curl -i {}/", self.url);
        }
        let url = &self.url;
        let first = self.queues.first();
        let name = first.map_or("hello", |queue| queue.name.as_str());
        let known = first.is_some() || self.dev;
        if known && first.is_none_or(|queue| worker(queue).command().is_none()) {
            format!("curl -i {url}/v1/queues/{name}/jobs --json '{{\"hello\":\"rain\"}}'")
        } else if known {
            format!("curl -i '{url}/v1/queues/{name}/jobs?wait=30' --data-binary @FILE")
        } else {
            format!("curl -i -X PUT {url}/v1/queues/{name} --json '{{}}'")
        }
    }
}

/// How a queue is worked.
fn worker(queue: &Wanted) -> Worker {
    queue.spec.worker.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use raincheck::core::name::{Namespace, QueueName};
    use raincheck::core::queue::QueueSpec;

    fn queue((name, worker): &(&str, Worker)) -> Wanted {
        Wanted {
            namespace: Namespace::default(),
            name: QueueName::new(name).unwrap(),
            spec: QueueSpec {
                worker: Some(worker.clone()),
                ..QueueSpec::default()
            },
            groups: Vec::new(),
            managed: true,
        }
    }

    fn program() -> Worker {
        Worker::Process(vec!["true".to_owned()])
    }

    fn banner(queues: &[(&str, Worker)], dev: bool) -> String {
        Banner {
            url: "http://127.0.0.1:7246".to_owned(),
            urls: vec!["http://127.0.0.1:7246".to_owned()],
            api: "http://127.0.0.1:7246".to_owned(),
            proxied: Vec::new(),
            store: PathBuf::from("/data"),
            fresh: true,
            queues: queues.iter().map(queue).collect(),
            dev,
            drain: Duration::from_secs(25),
        }
        .text(false)
    }

    #[test]
    fn the_first_words_fit_into_eight_lines_and_hold_a_curl() {
        for text in [
            banner(&[], false),
            banner(&[], true),
            banner(&[("a", Worker::Pull), ("c", program())], true),
        ] {
            assert!(text.lines().count() <= 8, "{text}");
            assert!(text.contains("  Try     curl -i "), "{text}");
        }
    }

    #[test]
    fn the_first_words_say_where_everything_is() {
        assert_eq!(
            banner(&[("thumbs", program())], false),
            format!(
                "Raincheck {}
  API     http://127.0.0.1:7246
  Data    /data (new)
  Queues  thumbs (process)
  Access  open, without keys, to this machine only
  Try     curl -i 'http://127.0.0.1:7246/v1/queues/thumbs/jobs?wait=30' --data-binary @FILE
  Stop    Ctrl-C; running jobs get 25s",
                env!("CARGO_PKG_VERSION")
            )
        );
    }
}
