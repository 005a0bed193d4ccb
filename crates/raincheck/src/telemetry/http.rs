//! Requests, by route, method and status.
//!
//! Invariant: labels come from the routes that the server declares, the methods that HTTP has and the statuses it answers:
//! nothing that a caller chose. To find a request's route costs a few comparisons, for the router keeps its own finding to
//! itself unless each route gets a box more.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{SECONDS, names, register};
use crate::hashing::Map;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Arc<str>,
    method: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    route: Arc<str>,
    method: &'static str,
}

/// The numbers of requests. Those that were counted before are at hand, both by one look: by their labels each takes one of its
/// own, by a hash that costs several times as much.
#[derive(Debug)]
pub(crate) struct Http {
    answered: Family<Answered, Counter>,
    took: Family<Asked, Histogram, fn() -> Histogram>,
    /// As many as there are labels.
    at_hand: RwLock<Map<Answered, (Counter, Histogram)>>,
}

impl Http {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answered = Family::<Answered, Counter>::default();
        register(registry, names::REQUESTS, answered.clone());
        let took = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        register(registry, names::REQUEST_TIME, took.clone());
        Self {
            answered,
            took,
            at_hand: RwLock::default(),
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, route: &Arc<str>, method: &'static str, code: StatusCode, took: Duration) {
        let labels = Answered {
            route: route.clone(),
            method,
            code: code.as_u16(),
        };
        let seconds = took.as_secs_f64();
        let at_hand = self.at_hand.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((answered, took)) = at_hand.get(&labels) {
            answered.inc();
            took.observe(seconds);
            return;
        }
        drop(at_hand);
        let asked = Asked {
            route: route.clone(),
            method,
        };
        let answered = self.answered.get_or_create_owned(&labels);
        let took = self.took.get_or_create_owned(&asked);
        answered.inc();
        took.observe(seconds);
        let mut at_hand = self.at_hand.write().unwrap_or_else(PoisonError::into_inner);
        at_hand.insert(labels, (answered, took));
    }
}

/// A method as labels name it.
pub(crate) fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The routes of a server, to tell which one a path takes.
#[derive(Debug)]
pub(crate) struct Routes {
    /// By the number of their segments; literals are before parameters.
    by_length: Vec<Vec<Arc<str>>>,
    none: Arc<str>,
}

impl Routes {
    /// Of templates such as `/v1/jobs/{id}`.
    pub(crate) fn new<'a>(templates: impl Iterator<Item = &'a str>) -> Self {
        let mut by_length: Vec<Vec<Arc<str>>> = Vec::new();
        for template in templates {
            let length = segments(template);
            if by_length.len() <= length {
                by_length.resize_with(length + 1, Vec::new);
            }
            by_length[length].push(template.into());
        }
        for templates in &mut by_length {
            templates.sort_by_key(|template| (template.matches('{').count(), template.clone()));
        }
        Self {
            by_length,
            none: Arc::from("none"),
        }
    }

    /// The template of a path; `none` where there is none.
    pub(crate) fn of(&self, path: &str) -> &Arc<str> {
        let templates = self.by_length.get(segments(path)).map_or(&[][..], Vec::as_slice);
        let fits = |template: &&Arc<str>| fits(template.as_bytes(), path.as_bytes());
        templates.iter().find(fits).unwrap_or(&self.none)
    }
}

/// How many segments a path has.
fn segments(path: &str) -> usize {
    path.bytes().filter(|byte| *byte == b'/').count() + 1
}

/// Whether a path is of this template. Byte by byte: nearly all templates differ within the first few, and to part both at their
/// slashes, for each of them, was a sixth of what a submit cost beside the store.
fn fits(mut template: &[u8], mut path: &[u8]) -> bool {
    loop {
        match (template, path) {
            ([], []) => return true,
            ([b'/', b'{', ..], [b'/', rest @ ..]) if !matches!(rest, [] | [b'/', ..]) => {
                (template, path) = (behind_segment(&template[1..]), behind_segment(rest));
            }
            ([wanted, wanted_rest @ ..], [found, rest @ ..]) if wanted == found => {
                (template, path) = (wanted_rest, rest);
            }
            _ => return false,
        }
    }
}

fn behind_segment(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|byte| *byte == b'/');
    &path[end.unwrap_or(path.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_by_its_template_and_never_by_what_it_holds() {
        let routes = Routes::new(
            [
                "/v1/jobs",
                "/v1/jobs/{id}",
                "/v1/jobs/bulk",
                "/v1/jobs/{id}/result",
            ]
            .into_iter(),
        );
        for (path, template) in [
            ("/v1/jobs", "/v1/jobs"),
            ("/v1/jobs/bulk", "/v1/jobs/bulk"),
            ("/v1/jobs/job_1", "/v1/jobs/{id}"),
            ("/v1/jobs/job_1/result", "/v1/jobs/{id}/result"),
            ("/v1/jobs/job_1/other", "none"),
            ("/v1/jobs/", "none"),
            ("/v1/jobs//result", "none"),
            ("/v1/jobs/{", "/v1/jobs/{id}"),
            ("/v1/jobs/{id}", "/v1/jobs/{id}"),
            ("/v1/jobsx", "none"),
            ("/v1/job", "none"),
            ("", "none"),
            ("/", "none"),
            ("*", "none"),
        ] {
            assert_eq!(&**routes.of(path), template, "{path}");
        }
    }
}
