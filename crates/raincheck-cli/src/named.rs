//! A job as people name it: by its id, or by a link to it, with the ticket that is in it.
//!
//! Invariant: a link leads to one job of one server and nowhere else; what is printed to be typed next has the link in it
//! again, so that it works without anything else.

use std::fmt;
use std::str::FromStr;

use crate::client::{Address, encoded};
use crate::session::Session;

/// A job by its id or a link.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its id.
    pub(crate) id: String,
    ticket: Option<String>,
    /// The server that the link names.
    server: Option<Address>,
    /// As it was typed.
    typed: String,
}

impl Named {
    /// A job by its id.
    pub(crate) fn by_id(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ticket: None,
            server: None,
            typed: id.to_owned(),
        }
    }

    /// The path of the job, or of a part of it such as `/result`, with this query.
    pub(crate) fn path(&self, part: &str, query: Option<&str>) -> String {
        let ticket = self
            .ticket
            .as_deref()
            .map(|ticket| format!("ticket={}", encoded(ticket)));
        let query: Vec<_> = query.into_iter().chain(ticket.as_deref()).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/v1/jobs/{}{part}{mark}{}", self.id, query.join("&"))
    }

    /// The session with the server that has the job.
    pub(crate) fn session(&self, session: &Session) -> Session {
        match &self.server {
            Some(server) => session.with(server.clone()),
            None => session.clone(),
        }
    }
}

impl fmt::Debug for Named {
    /// A ticket opens a door, so nothing that a program prints of itself shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = f.debug_struct("Named");
        named.field("id", &self.id).field("server", &self.server);
        named.field("ticket", &self.ticket.as_ref().map(|_| "…")).finish()
    }
}

impl fmt::Display for Named {
    /// As it is typed in a shell: a link has characters that mean something there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match shlex::try_quote(&self.typed) {
            Ok(quoted) => f.write_str(&quoted),
            Err(_) => f.write_str(&self.id),
        }
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let neither = || {
            "neither a job's id, which begins with job_ and is printed by raincheck submit, nor a link to a job".to_owned()
        };
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let (server, id) = match path.rsplit_once("/v1/jobs/") {
            None if query.is_empty() => ("", path),
            None => return Err(neither()),
            Some((server, rest)) => {
                let (id, part) = rest.split_once('/').unwrap_or((rest, ""));
                if !["", "result", "events", "input", "cancel"].contains(&part) {
                    return Err(neither());
                }
                (server, id)
            }
        };
        // What could not be typed again is no link.
        if text.chars().any(char::is_control) {
            return Err(neither());
        }
        let plain = id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plain || !id.starts_with("job_") || id.len() > 64 {
            return Err(neither());
        }
        let server = match server {
            "" => None,
            server => Some(server.parse()?),
        };
        let mut tickets = query.split('&').filter_map(|pair| pair.strip_prefix("ticket="));
        Ok(Self {
            id: id.to_owned(),
            ticket: tickets.next().map(str::to_owned),
            server,
            typed: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "job_01jd8zq3k5e7rv2m4n6p8s0t1w";

    #[test]
    fn a_job_is_named_by_its_id_or_by_any_link_to_it() {
        for (text, server, ticket) in [
            (ID.to_owned(), None, None),
            (format!("/v1/jobs/{ID}/result?ticket=t1ab"), None, Some("t1ab")),
            (format!("http://a:1/v1/jobs/{ID}"), Some("http://a:1"), None),
            (
                format!("https://a/x/v1/jobs/{ID}/cancel?wait=3&ticket=t1ab"),
                Some("https://a/x"),
                Some("t1ab"),
            ),
        ] {
            let named: Named = text.parse().unwrap();
            assert_eq!(named.id, ID, "{text}");
            assert_eq!(
                named.server.map(|server| server.to_string()).as_deref(),
                server,
                "{text}"
            );
            assert_eq!(named.ticket.as_deref(), ticket, "{text}");
        }
    }

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        for bad in [
            "",
            "job",
            "job_1/../x",
            "job_1?x",
            "queue_1",
            "job_ü",
            "/v1/jobs/job_1/retry",
            "/v1/jobs/../queues",
            "ftp://a/v1/jobs/job_1",
            "http://a/job_1",
            "/v1/jobs/job_1?ticket=a\0b",
        ] {
            assert!(bad.parse::<Named>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_ticket_goes_along_and_the_link_is_typed_again() {
        let link = format!("http://a:1/v1/jobs/{ID}/result?ticket=t1ab");
        let named: Named = link.parse().unwrap();
        assert_eq!(named.path("", None), format!("/v1/jobs/{ID}?ticket=t1ab"));
        assert_eq!(
            named.path("/events", Some("follow=false")),
            format!("/v1/jobs/{ID}/events?follow=false&ticket=t1ab")
        );
        assert_eq!(named.to_string(), format!("'{link}'"));
        assert_eq!(
            Named::by_id(ID).path("/result", None),
            format!("/v1/jobs/{ID}/result")
        );
        assert_eq!(Named::by_id(ID).to_string(), ID);
        assert!(!format!("{named:?}").contains("t1ab"), "{named:?}");
        let strange: Named = format!("/v1/jobs/{ID}?ticket=a%26b c").parse().unwrap();
        assert_eq!(
            strange.path("", None),
            format!("/v1/jobs/{ID}?ticket=a%2526b%20c")
        );
    }
}
