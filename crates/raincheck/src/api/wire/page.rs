//! Listings: what a query asks for, and the page that answers it.
//!
//! Invariant: a parameter that does not exist, comes twice or cannot be is refused and named; a cursor is opaque to
//! callers, and only one that this server could have written is taken.

use std::borrow::Cow;

use raincheck_core::job::State;
use raincheck_core::list::{Filter, PAGE_MAX, Page};
use raincheck_core::time::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::job::JobDocument;
use crate::api::problem::Problem;
use crate::api::query::pairs;
use crate::api::text;

/// So many jobs are on a page unless a limit is given.
pub(crate) const LIMIT_DEFAULT: u32 = 50;

/// One page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobPage)]
pub(crate) struct PageDocument<'a> {
    /// The jobs. There may be fewer than asked for, even none, although more follow.
    pub(crate) jobs: Vec<JobDocument<'a>>,
    /// Ask with `cursor=` this for the next page; null where nothing follows.
    #[schema(value_type = Option<String>, example = "c0067a2f91c3e8001")]
    pub(crate) cursor: Option<Cursor>,
}

/// Where the next page begins, as callers carry it: a letter and 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) u64);

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("c{:016x}", self.0))
    }
}

impl Cursor {
    /// Reads a cursor as it was given out.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('c')?;
        let fit = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        // Places in the store are positive signed numbers.
        let place = u64::from_str_radix(digits, 16)
            .ok()
            .filter(|place| i64::try_from(*place).is_ok())?;
        fit.then_some(Self(place))
    }
}

/// The page that a query asks for.
///
/// # Errors
/// The first parameter that does not exist, comes twice or cannot be.
pub(crate) fn page(query: Option<&str>) -> Result<Page, Problem> {
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    let mut page = Page {
        filter: Filter::default(),
        cursor: None,
        limit: LIMIT_DEFAULT,
    };
    for (name, value) in pairs(query) {
        let shown = || text::short(name).into_owned();
        let decoded = |text| {
            text::form_decoded(text)
                .ok_or_else(|| Problem::bad_request(format!("?{}= is not percent-encoded UTF-8", shown())))
        };
        let (name, value) = (decoded(name)?, decoded(value)?);
        take(&mut page, &name, &value)
            .map_err(|why| Problem::bad_request(format!("?{}= {why}", text::short(&name))))?;
        if seen.contains(&name) {
            return Err(Problem::bad_request(format!("?{name}= is given twice")));
        }
        seen.push(name);
    }
    Ok(page)
}

/// Takes one parameter; the error is what to say of it, after its name.
fn take(page: &mut Page, name: &str, value: &str) -> Result<(), Cow<'static, str>> {
    if let Some(taken) = take_filter(&mut page.filter, name, value) {
        return taken;
    }
    match name {
        "limit" => page.limit = limit(value)?,
        "cursor" => {
            let cursor = Cursor::read(value).ok_or("takes the cursor of the page before, as it was given")?;
            page.cursor = Some(cursor.0);
        }
        _ => {
            return Err(
                "does not exist here; there are queue, state, tag, group, batch, submitted_after, submitted_before, \
                 limit and cursor"
                    .into(),
            );
        }
    }
    Ok(())
}

/// Takes one part of a filter; `None` where the filter has no part of this name.
pub(super) fn take_filter(
    filter: &mut Filter,
    name: &str,
    value: &str,
) -> Option<Result<(), Cow<'static, str>>> {
    fn put<T, E: std::fmt::Display>(
        place: &mut Option<T>,
        read: Result<T, E>,
    ) -> Result<(), Cow<'static, str>> {
        *place = Some(read.map_err(|error| format!("cannot be so: {error}"))?);
        Ok(())
    }
    Some(match name {
        "queue" => put(&mut filter.queue, value.parse()),
        "state" => match state(value) {
            Ok(state) => {
                filter.state = Some(state);
                Ok(())
            }
            Err(why) => Err(why.into()),
        },
        "tag" => put(&mut filter.tag, value.parse()),
        "group" => put(&mut filter.group, value.parse()),
        "batch" => put(&mut filter.batch, value.parse()),
        "submitted_after" => put(&mut filter.submitted_after, instant(value)),
        "submitted_before" => put(&mut filter.submitted_before, instant(value)),
        _ => return None,
    })
}

fn state(text: &str) -> Result<State, &'static str> {
    const STATES: [State; 7] = [
        State::Scheduled,
        State::Queued,
        State::Running,
        State::Succeeded,
        State::Failed,
        State::Cancelled,
        State::Expired,
    ];
    let state = STATES.into_iter().find(|state| state.as_str() == text);
    state.ok_or("takes one of scheduled, queued, running, succeeded, failed, cancelled and expired")
}

/// An instant. The plus of its time zone, written as it is, reads as a space in a query.
pub(super) fn instant(text: &str) -> Result<Timestamp, impl std::fmt::Display + use<>> {
    match text.rsplit_once(' ') {
        Some((time, zone)) if time.contains(['T', 't']) => format!("{time}+{zone}").parse::<Timestamp>(),
        Some(_) | None => text.parse(),
    }
}

pub(crate) fn limit(text: &str) -> Result<u32, Cow<'static, str>> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let limit = text.parse().ok();
    limit
        .filter(|limit| digits && (1..=PAGE_MAX).contains(limit))
        .ok_or_else(|| format!("takes a whole number, 1 to {PAGE_MAX}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> String {
        page(Some(query)).unwrap_err().detail().to_owned()
    }

    #[test]
    fn a_query_is_read_whole() {
        let read = page(Some(
            "queue=q&state=failed&tag=a%20b&group=M%C3%BCnchen+1&batch=batch_01h455vb4pex5vsknk084sn02q&submitted_after=@1&submitted_before=1970-01-01T02:00:02+02:00\
             &limit=200&cursor=c00000000000000ff",
        ))
        .unwrap();
        let filter = read.filter;
        assert_eq!(filter.queue.unwrap().as_str(), "q");
        assert_eq!(filter.state, Some(State::Failed));
        assert_eq!(filter.tag.unwrap().as_str(), "a b");
        assert_eq!(filter.group.unwrap().as_str(), "München 1");
        assert_eq!(
            filter.batch.unwrap().to_string(),
            "batch_01h455vb4pex5vsknk084sn02q"
        );
        assert_eq!(filter.submitted_after.unwrap().as_millis(), 1000);
        assert_eq!(filter.submitted_before.unwrap().as_millis(), 2000);
        assert_eq!((read.limit, read.cursor), (200, Some(255)));
        assert_eq!(page(None).unwrap().limit, LIMIT_DEFAULT);
    }

    #[test]
    fn a_parameter_that_cannot_be_is_named() {
        for (query, name) in [
            ("batch=b", "batch"),
            ("batch=job_01h455vb4pex5vsknk084sn02q", "batch"),
            ("Queue=q", "Queue"),
            ("queue", "queue"),
            ("queue=", "queue"),
            ("queue=a%20b", "queue"),
            ("queue=%ff", "queue"),
            ("queue=%4", "queue"),
            ("queue=a&queue=a", "queue"),
            ("state=done", "state"),
            ("tag=", "tag"),
            ("group=%00", "group"),
            ("submitted_after=yesterday", "submitted_after"),
            ("submitted_before=", "submitted_before"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=+5", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("cursor=", "cursor"),
            ("cursor=00000000000000ff0", "cursor"),
            ("cursor=c00000000000000FF", "cursor"),
            ("cursor=cffffffffffffffff", "cursor"),
            ("cursor=c+000000000000000", "cursor"),
        ] {
            let detail = refused(query);
            assert!(detail.starts_with(&format!("?{name}= ")), "{query}: {detail}");
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for place in [0, 1, 0x0067_a2f9_1c3e_8001, i64::MAX.cast_unsigned()] {
            let text = serde_json::to_value(Cursor(place)).unwrap();
            assert_eq!(Cursor::read(text.as_str().unwrap()), Some(Cursor(place)));
        }
    }
}
