//! Listings, whole or a page at a time.
//!
//! Invariant: what is shown is what the server listed, in its order, and no page is asked for that is not shown. Each page
//! is written as it comes, but on a terminal, where columns line up over all.

use clap::Args;
use raincheck::core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::client::{Request, encoded};
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};
use crate::table::{Table, Value};

/// The most entries on one page.
const PAGE_MAX: u32 = 200;

/// How much of a listing is wanted.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct HowMuch {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// A listing.
pub(crate) struct Listing<'a, T> {
    /// Where it is, without a query.
    pub(crate) path: &'a str,
    /// The field of a page that holds the entries.
    pub(crate) field: &'a str,
    /// What the entries have to be; the server judges it.
    pub(crate) filter: &'a [(&'a str, Option<String>)],
    /// The columns' names.
    pub(crate) columns: &'static [&'static str],
    /// An entry's row at this time, by the server's clock where it is shown to somebody.
    pub(crate) row: fn(&T, Option<Timestamp>) -> Vec<Value>,
    /// An entry's id.
    pub(crate) id: fn(&T) -> &str,
    /// What to say where there is none.
    pub(crate) none: &'a str,
}

impl<T: DeserializeOwned> Listing<'_, T> {
    /// Shows so much of it, a page at a time.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub(crate) async fn show(&self, much: HowMuch, session: &Session) -> Result<(), Failed> {
        let left = if much.all { u32::MAX } else { much.limit };
        self.write(Some(left), session).await
    }

    /// Shows all of it, where the server gives it whole.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub(crate) async fn show_whole(&self, session: &Session) -> Result<(), Failed> {
        self.write(None, session).await
    }

    async fn write(&self, much: Option<u32>, session: &Session) -> Result<(), Failed> {
        let output = session.output;
        let mut left = much.unwrap_or(u32::MAX);
        let mut cursor = None;
        let mut table = Table::new(self.columns);
        let mut found = 0_u64;
        // Nothing is printed before there is an answer.
        let mut open = Some(b"[");
        while left > 0 {
            let path = self.page(much.map(|_| left.min(PAGE_MAX)), cursor.as_deref());
            let answer = session.call(Request::get(path), About::Server).await?;
            let (entries, next) = self.read(&answer.body)?;
            if let Some(bracket) = open.take().filter(|_| output.shape == Shape::Json) {
                output.bytes(bracket)?;
            }
            let now = answer.date().filter(|_| output.shape == Shape::Terminal);
            for raw in &entries {
                found += 1;
                if output.shape == Shape::Json {
                    let comma = if found > 1 { "," } else { "" };
                    output.bytes(format!("{comma}{}", raw.get()).as_bytes())?;
                    continue;
                }
                let entry: T = read(raw.get().as_bytes())?;
                if output.shape == Shape::Quiet {
                    output.line((self.id)(&entry))?;
                } else {
                    table.row((self.row)(&entry, now));
                }
            }
            if output.shape == Shape::Plain {
                table.flush(output)?;
            }
            left -= u32::try_from(entries.len()).unwrap_or(left).min(left);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        if output.shape == Shape::Json {
            return output.line("]");
        }
        table.flush(output)?;
        if found == 0 {
            output.note(self.none);
        } else if cursor.is_some() {
            output.note("There are more: --limit N, or --all");
        }
        Ok(())
    }

    /// The page to ask for.
    fn page(&self, limit: Option<u32>, cursor: Option<&str>) -> String {
        let limit = limit.map(|limit| limit.to_string());
        let filter = self.filter.iter().map(|(name, value)| (*name, value.as_deref()));
        let asked = [("limit", limit.as_deref())]
            .into_iter()
            .chain(filter)
            .chain([("cursor", cursor)]);
        let query: Vec<_> = asked
            .filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))))
            .collect();
        if query.is_empty() {
            self.path.to_owned()
        } else {
            format!("{}?{}", self.path, query.join("&"))
        }
    }

    /// A page's entries as they were written, and the cursor of the next one.
    fn read<'a>(&self, body: &'a [u8]) -> Result<(Vec<&'a RawValue>, Option<String>), Failed> {
        let mut page: std::collections::BTreeMap<&str, &RawValue> = read(body)?;
        let cursor: Option<Json> = match page.remove("cursor") {
            Some(cursor) => Some(read(cursor.get().as_bytes())?),
            None => None,
        };
        let entries = page.remove(self.field).map_or("[]", RawValue::get);
        let cursor = cursor.as_ref().and_then(Json::as_str).map(str::to_owned);
        Ok((read(entries.as_bytes())?, cursor))
    }
}

fn read<'a, T: serde::Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(json).map_err(|error| Failed::unreadable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing<'a>(filter: &'a [(&'a str, Option<String>)]) -> Listing<'a, Json> {
        Listing {
            path: "/v1/jobs",
            field: "jobs",
            filter,
            columns: &["ID"],
            row: |_, _| Vec::new(),
            id: |_| "",
            none: "None.",
        }
    }

    #[test]
    fn a_filter_reaches_the_server_as_it_was_typed() {
        let filter = [("tag", Some("a b".to_owned())), ("queue", None)];
        let page = listing(&filter).page(Some(7), Some("c1"));
        assert_eq!(page, "/v1/jobs?limit=7&tag=a%20b&cursor=c1");
    }

    #[test]
    fn a_whole_listing_is_asked_for_without_a_query() {
        assert_eq!(listing(&[]).page(None, None), "/v1/jobs");
    }

    #[test]
    fn a_pages_entries_stay_as_they_were_written() {
        let listing = listing(&[]);
        let (entries, cursor) = listing
            .read(br#"{"jobs":[{"b":1, "a":2}],"cursor":"c2","new":0}"#)
            .unwrap();
        assert_eq!(entries[0].get(), r#"{"b":1, "a":2}"#);
        assert_eq!(cursor.as_deref(), Some("c2"));
        assert_eq!(listing.read(br#"{"jobs":[],"cursor":null}"#).unwrap().1, None);
        assert!(listing.read(b"no").is_err());
    }
}
