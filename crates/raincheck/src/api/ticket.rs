//! Tickets: a signed `?ticket=` by which whoever has it may read and cancel one job without a key, for a while.
//!
//! Invariant: a ticket names its job, its namespace and its end in its signature, so that it is good for nothing else; what
//! it allows is one list ([`allowed`]). It is checked before anything is read, and gone from the request after that.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use raincheck_core::id::JobId;
use raincheck_core::name::Namespace;
use raincheck_core::secret::Secret;
use raincheck_core::store::StoreError;
use raincheck_core::time::Timestamp;
use sha2::Sha256;
use tokio::sync::OnceCell;

use super::Api;
use super::code::Code;
use super::problem::Problem;
use crate::node::Node;

/// The form of the tickets that are given out; they begin with it.
const FORM: &[u8; 2] = b"t1";

/// Where a ticket stands in a query.
const PARAMETER: &str = "ticket=";

/// Bytes of the end of a ticket, in seconds since 1970.
const END: usize = 5;

/// Bytes of the signature: 160 bits of an HMAC-SHA256.
const SIGNATURE: usize = 20;

/// A ticket as it is written: the form, then the end and the signature in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket([u8; 2 + 2 * (END + SIGNATURE)]);

impl Ticket {
    /// One that opens nothing.
    #[cfg(test)]
    pub(crate) const fn sample() -> Self {
        Self([b'a'; 2 + 2 * (END + SIGNATURE)])
    }

    /// As it is written in a URL.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("letters and digits are text")
    }

    /// The same, for an answer that shows it many times.
    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ticket {
    /// A ticket opens a door, so no log shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(…)")
    }
}

/// The key that tickets are signed with; the store's, read when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct TicketKey(OnceCell<Signing>);

/// Signs by a key that it has taken in already: that is half of what a signature costs.
struct Signing(Hmac<Sha256>);

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signing(…)")
    }
}

impl Signing {
    fn by(key: &Secret) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(key.reveal()).expect("a key of any length is taken");
        Self(mac.chain_update(b"raincheck ticket\0"))
    }

    fn mac(&self, ns: &Namespace, id: JobId, end: u64) -> Hmac<Sha256> {
        // Names hold no zero byte, so none of the parts can run into the next.
        self.0
            .clone()
            .chain_update(ns.as_str())
            .chain_update(b"\0")
            .chain_update(id.text().as_bytes())
            .chain_update(b"\0")
            .chain_update(end.to_be_bytes())
    }
}

impl TicketKey {
    async fn get(&self, node: &Node) -> Result<&Signing, StoreError> {
        let ask = || async {
            let secret = node.store().ticket_key(node.options().random.secret()).await?;
            Ok(Signing::by(&secret))
        };
        self.0.get_or_try_init(ask).await
    }

    /// Gives out a ticket for a job, good for so long from now.
    ///
    /// # Errors
    /// When the store's key is needed for the first time and cannot be read.
    pub(crate) async fn issue(
        &self,
        node: &Node,
        ns: &Namespace,
        id: JobId,
        span: Duration,
    ) -> Result<Ticket, StoreError> {
        let key = self.get(node).await?;
        Ok(signed(key, ns, id, node.store().now().plus(span)))
    }
}

fn signed(key: &Signing, ns: &Namespace, id: JobId, until: Timestamp) -> Ticket {
    let end = u64::try_from(until.as_millis().div_euclid(1000)).unwrap_or_default();
    let end = end.min((1 << (8 * END)) - 1);
    let signature = key.mac(ns, id, end).finalize().into_bytes();
    let mut ticket = [0; 2 + 2 * (END + SIGNATURE)];
    ticket[..2].copy_from_slice(FORM);
    let bytes = end.to_be_bytes().into_iter().skip(8 - END).chain(signature);
    for (digits, byte) in ticket[2..].chunks_exact_mut(2).zip(bytes) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
    Ticket(ticket)
}

/// Takes the ticket out of a request's query and checks it, for the caller's namespace, or where the caller has none for the
/// job's; gives that back as well. `None` where there is no ticket.
///
/// # Errors
/// When it is not one of this job, has expired, or does not allow what is asked: 403.
pub(crate) async fn admit(
    parts: &mut Parts,
    api: &Api,
    ns: Option<&Namespace>,
) -> Result<Option<(Ticket, Namespace)>, Problem> {
    let Some(text) = take(parts)? else {
        return Ok(None);
    };
    let Some(id) = allowed(parts) else {
        let detail = "a ticket reads and cancels its one job and does nothing else";
        return Err(Problem::new(Code::Forbidden, detail));
    };
    let now = api.node.store().now();
    let refused = || {
        let detail = format!("the ticket is not one for {id}; a submit with Raincheck-Ticket gives one out");
        Problem::new(Code::Forbidden, detail)
    };
    let (ticket, end, signature) = read(&text).ok_or_else(refused)?;
    let ns = match ns {
        Some(ns) => ns.clone(),
        None => api.node.store().home(id).await?.unwrap_or_default(),
    };
    let key = api.tickets.get(&api.node).await?;
    key.mac(&ns, id, end)
        .verify_truncated_left(&signature)
        .map_err(|_| refused())?;
    let until = Timestamp::from_millis(i64::try_from(end * 1000).unwrap_or(i64::MAX));
    if until <= now {
        let detail = format!("the ticket for {id} expired at {until}");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(Some((ticket, ns)))
}

/// The job that a request is for, where a ticket allows it.
fn allowed(parts: &Parts) -> Option<JobId> {
    let read = parts.method == Method::GET || parts.method == Method::HEAD;
    let mut path = parts.uri.path().strip_prefix("/v1/jobs/")?.splitn(2, '/');
    let id = path.next()?.parse().ok()?;
    let may = match path.next() {
        None | Some("result" | "input" | "events") => read,
        Some("cancel") => parts.method == Method::POST,
        Some(_) => false,
    };
    may.then_some(id)
}

/// Whether there is a ticket in a query, good or not: the very parameter that [`take`] takes. Who is let further by this has
/// its ticket checked, or is refused.
pub(crate) fn stands_in(uri: &Uri) -> bool {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| pair.starts_with(PARAMETER))
}

/// Removes the ticket from the query, so that nobody behind this sees it.
pub(crate) fn take(parts: &mut Parts) -> Result<Option<String>, Problem> {
    let query = parts.uri.query().unwrap_or_default();
    if !query.contains(PARAMETER) {
        return Ok(None);
    }
    let (mut tickets, mut rest) = (Vec::new(), String::new());
    for pair in query.split('&') {
        match pair.strip_prefix(PARAMETER) {
            Some(ticket) => tickets.push(ticket.to_owned()),
            None => {
                rest.push(if rest.is_empty() { '?' } else { '&' });
                rest.push_str(pair);
            }
        }
    }
    if tickets.len() > 1 {
        return Err(Problem::bad_request("?ticket= is given twice"));
    }
    let path: Result<PathAndQuery, _> = format!("{}{rest}", parts.uri.path()).parse();
    let mut uri = parts.uri.clone().into_parts();
    uri.path_and_query = path.ok();
    if let Ok(uri) = Uri::from_parts(uri) {
        parts.uri = uri;
    }
    Ok(tickets.pop())
}

/// Reads a ticket: itself, its end in seconds since 1970, and its signature.
pub(crate) fn read(text: &str) -> Option<(Ticket, u64, [u8; SIGNATURE])> {
    let ticket: [u8; 2 + 2 * (END + SIGNATURE)] = text.as_bytes().try_into().ok()?;
    let digits = ticket.strip_prefix(FORM)?;
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; END + SIGNATURE];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    let end = bytes[..END]
        .iter()
        .fold(0, |end, byte| end << 8 | u64::from(*byte));
    let mut signature = [0; SIGNATURE];
    signature.copy_from_slice(&bytes[END..]);
    Some((Ticket(ticket), end, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str) -> Parts {
        let request = http::Request::builder().method(method).uri(uri).body(());
        request.unwrap().into_parts().0
    }

    #[test]
    fn a_ticket_allows_one_list_of_things() {
        let id = "/v1/jobs/job_01jd8zq3k5e7rv2m4n6p8s0t1w";
        for (method, path, expected) in [
            ("GET", id.to_owned(), true),
            ("HEAD", id.to_owned(), true),
            ("GET", format!("{id}/result"), true),
            ("GET", format!("{id}/input"), true),
            ("GET", format!("{id}/events"), true),
            ("POST", format!("{id}/cancel"), true),
            ("GET", format!("{id}/cancel"), false),
            ("PATCH", id.to_owned(), false),
            ("DELETE", id.to_owned(), false),
            ("POST", format!("{id}/retry"), false),
            ("GET", "/v1/jobs".to_owned(), false),
            ("POST", "/v1/jobs".to_owned(), false),
            ("GET", "/v1/queues".to_owned(), false),
            ("GET", "/v1/jobs/job_x".to_owned(), false),
        ] {
            assert_eq!(
                allowed(&parts(method, &path)).is_some(),
                expected,
                "{method} {path}"
            );
        }
    }

    #[test]
    fn a_ticket_is_taken_out_of_the_query() {
        for (uri, ticket, rest) in [
            ("/a", None, "/a"),
            ("/a?wait=5", None, "/a?wait=5"),
            ("/a?ticket=x", Some("x"), "/a"),
            ("/a?ticket=x&wait=5", Some("x"), "/a?wait=5"),
            ("/a?wait=5&ticket=x&b", Some("x"), "/a?wait=5&b"),
            ("/a?ticket=", Some(""), "/a"),
            ("/a?xticket=x", None, "/a?xticket=x"),
            ("/a?b=ticket=x", None, "/a?b=ticket=x"),
        ] {
            let mut parts = parts("GET", uri);
            assert_eq!(stands_in(&parts.uri), ticket.is_some(), "{uri}");
            assert_eq!(take(&mut parts).unwrap().as_deref(), ticket, "{uri}");
            assert_eq!(parts.uri.to_string(), rest);
        }
        assert!(take(&mut parts("GET", "/a?ticket=x&ticket=y")).is_err());
    }
}
