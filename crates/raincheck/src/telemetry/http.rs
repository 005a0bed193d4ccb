//! Requests, by route, method and status.
//!
//! Invariant: labels come from the routes that the server declares, the methods that HTTP has and the statuses it answers:
//! nothing that a caller chose. To find a request's route costs a few comparisons, for the router keeps its own finding to
//! itself unless each route gets a box more.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{SECONDS, names, register};

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

/// The numbers of requests.
#[derive(Debug)]
pub(crate) struct Http {
    answered: Family<Answered, Counter>,
    took: Family<Asked, Histogram, fn() -> Histogram>,
}

impl Http {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answered = Family::<Answered, Counter>::default();
        register(registry, names::REQUESTS, answered.clone());
        let took = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        register(registry, names::REQUEST_TIME, took.clone());
        Self { answered, took }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, route: &Arc<str>, method: &'static str, code: StatusCode, took: Duration) {
        let (route, code) = (route.clone(), code.as_u16());
        let asked = Asked {
            route: route.clone(),
            method,
        };
        self.answered
            .get_or_create(&Answered { route, method, code })
            .inc();
        self.took.get_or_create(&asked).observe(took.as_secs_f64());
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
            let length = template.split('/').count();
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
        let length = path.split('/').count();
        let templates = self.by_length.get(length).map_or(&[][..], Vec::as_slice);
        let fits = |template: &&Arc<str>| {
            template.split('/').zip(path.split('/')).all(|(wanted, segment)| {
                wanted == segment || (wanted.starts_with('{') && !segment.is_empty())
            })
        };
        templates.iter().find(fits).unwrap_or(&self.none)
    }
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
            ("/", "none"),
            ("*", "none"),
        ] {
            assert_eq!(&**routes.of(path), template, "{path}");
        }
    }
}
