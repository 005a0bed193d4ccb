//! `raincheck.toml`: where it is, and what it says.
//!
//! Invariant: nothing in the file is passed over: a key that means nothing is an error that names its line and the key
//! that was probably meant.

use raincheck::near::hint;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raincheck::core::name::{GroupName, QueueName};
use raincheck::proxy::Rule;
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::groups::group;
use super::origin::{Found, Origin};
use super::programs;
use super::queues::{Fields, Said};
use super::table::{self, TABLE, Values, row};

/// Where the file is looked for when nobody names one; the first that exists is read.
pub(crate) const PLACES: [&str; 2] = ["raincheck.toml", "/etc/raincheck/raincheck.toml"];

/// The largest file that is read: one that is larger is something else.
const BYTES_MAX: u64 = 4 << 20;

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Its settings.
    pub(crate) values: Values,
    /// Its queues.
    pub(crate) queues: BTreeMap<QueueName, Fields>,
}

/// Something in a file that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    file: Arc<str>,
    line: usize,
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line, what) = (&self.file, self.line, &self.what);
        write!(f, "{file}:{line}: {what}")
    }
}

/// The file that is read when nobody names one.
pub(crate) fn place() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Reads a file.
///
/// # Errors
/// All its mistakes, in the order of lines; a file that cannot be read is one, on line 0.
pub(crate) fn load(path: &Path) -> Result<File, Vec<Mistake>> {
    let name: Arc<str> = path.display().to_string().into();
    let unreadable = |why: String| {
        vec![Mistake {
            file: name.clone(),
            line: 0,
            what: format!("the file cannot be read: {why}"),
        }]
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if size.len() > BYTES_MAX {
        return Err(unreadable("it is larger than 4 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    parse(&name, &text)
}

/// Reads a file's text; `name` is what it is called in messages.
///
/// # Errors
/// All its mistakes, in the order of lines.
pub(crate) fn parse(name: &Arc<str>, text: &str) -> Result<File, Vec<Mistake>> {
    let mut reader = Reader {
        name,
        text,
        file: File::default(),
        mistakes: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.table(table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let what = format!("this is not TOML: {}", error.message());
            reader.mistake(at, what);
        }
    }
    if reader.mistakes.is_empty() {
        return Ok(reader.file);
    }
    reader.mistakes.sort_by_key(|mistake| mistake.line);
    Err(reader.mistakes)
}

struct Reader<'a> {
    name: &'a Arc<str>,
    text: &'a str,
    file: File,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    fn origin(&self, at: usize) -> Origin {
        Origin::Line(self.name.clone(), self.line(at))
    }

    fn mistake(&mut self, at: usize, what: String) {
        let (file, line) = (self.name.clone(), self.line(at));
        self.mistakes.push(Mistake { file, line, what });
    }

    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            if name == "queues" {
                self.queues(at, value.get_ref());
            } else if name == "proxy" && tables(value.get_ref()) {
                self.rules(at, value.get_ref());
            } else if let Some(row) = row(name) {
                let said = texts(value.get_ref(), row.many).and_then(|said| row.texts(said));
                match said.and_then(|texts| (row.check)(&texts).map(|()| texts)) {
                    Ok(texts) => {
                        let origin = self.origin(at);
                        self.file.values.insert(row.name, Found { texts, origin });
                    }
                    Err(why) => self.mistake(at, format!("{name}: {why}")),
                }
            } else {
                let names: Vec<_> = TABLE.iter().map(table::Row::key).collect();
                let names = names.iter().map(AsRef::as_ref).chain(["queues"]);
                self.mistake(at, format!("there is no setting {name:?}{}", hint(name, names)));
            }
        }
    }

    fn queues(&mut self, at: usize, value: &DeValue<'_>) {
        let DeValue::Table(queues) = value else {
            return self.mistake(at, "queues: write a table for each: [queues.NAME]".to_owned());
        };
        for (key, value) in queues {
            let (text, at) = (key.get_ref().as_ref(), key.span().start);
            match (QueueName::new(text), value.get_ref()) {
                (Err(error), _) => self.mistake(at, format!("queues.{text}: {error}")),
                (Ok(name), DeValue::Table(fields)) => self.queue(at, name, fields),
                (Ok(_), _) => self.mistake(at, format!("queues.{text}: write a table: [queues.{text}]")),
            }
        }
    }

    /// `[[proxy]]` tables, each a rule as its flag writes it.
    fn rules(&mut self, at: usize, value: &DeValue<'_>) {
        let DeValue::Array(tables) = value else { return };
        let origin = self.origin(at);
        let mut texts = Vec::new();
        for value in tables.iter() {
            let at = value.span().start;
            let DeValue::Table(table) = value.get_ref() else {
                self.mistake(at, "proxy: write a table for each rule: [[proxy]]".to_owned());
                continue;
            };
            match self.rule(table) {
                Some(Ok(text)) => texts.push(text),
                Some(Err(why)) => self.mistake(at, format!("proxy: {why}")),
                None => {}
            }
        }
        self.file.values.insert("proxy", Found { texts, origin });
    }

    /// The text of one rule; `None` where a mistake was told.
    fn rule(&mut self, table: &DeTable<'_>) -> Option<Result<String, String>> {
        let (mut path, mut upstream, mut rest, mut sound) = (None, None, String::new(), true);
        let mut below = None;
        for (key, value) in table {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            let said = texts(value.get_ref(), name == "retry_codes").map(|texts| texts.join(" "));
            let fits = |text: &String| !text.contains(';');
            match (name, said) {
                (_, Err(why)) => {
                    self.mistake(at, format!("proxy.{name}: {why}"));
                    sound = false;
                }
                (_, Ok(text)) if !fits(&text) => {
                    self.mistake(at, format!("proxy.{name}: the value holds a semicolon"));
                    sound = false;
                }
                ("path", Ok(text)) if text.contains('=') => {
                    self.mistake(
                        at,
                        "proxy.path: the path holds an equals sign; write * for it".to_owned(),
                    );
                    sound = false;
                }
                ("path", Ok(text)) => path = Some(text),
                ("upstream", Ok(text)) => upstream = Some(text),
                (name, Ok(text)) if Rule::FIELDS.contains(&name) => {
                    if name == "prefix" {
                        below = Some(format!("{text}/**"));
                    }
                    rest.push_str(&format!(";{name}={text}"));
                }
                (name, Ok(_)) => {
                    let known = ["path", "upstream"].into_iter().chain(Rule::FIELDS);
                    let hint = hint(name, known);
                    self.mistake(at, format!("proxy: there is no setting {name:?}{hint}"));
                    sound = false;
                }
            }
        }
        // A prefix alone is for all that is below it.
        let text = match (path.or(below), upstream) {
            (Some(path), Some(upstream)) => format!("{path}={upstream}{rest}"),
            (None, _) => return sound.then(|| Err("path or prefix is missing".to_owned())),
            (_, None) => return sound.then(|| Err("upstream is missing".to_owned())),
        };
        sound.then(|| text.parse::<Rule>().map(|_| text))
    }

    fn queue(&mut self, at: usize, name: QueueName, table: &DeTable<'_>) {
        let mut fields = Fields {
            defined: Some(self.origin(at)),
            ..Fields::default()
        };
        for (key, value) in table {
            let (field, at) = (key.get_ref().as_ref(), key.span().start);
            if field == "groups" {
                self.groups(at, &name, value.get_ref(), &mut fields);
                continue;
            }
            if programs::unknown(field).is_some() {
                let hint = hint(field, programs::fields().chain(["groups"]));
                self.mistake(at, format!("queues.{name}: there is no setting {field:?}{hint}"));
                continue;
            }
            match json(value).and_then(|value| programs::fits(field, &value).map(|()| value)) {
                Ok(value) => {
                    let origin = self.origin(at);
                    let value = Some(value);
                    fields.said.insert(field.to_owned(), Said { value, origin });
                }
                Err(why) => self.mistake(at, format!("queues.{name}.{field}: {why}")),
            }
        }
        self.file.queues.insert(name, fields);
    }
}

/// Whether a value is a list of tables.
fn tables(value: &DeValue<'_>) -> bool {
    let DeValue::Array(values) = value else {
        return false;
    };
    values
        .iter()
        .any(|value| matches!(value.get_ref(), DeValue::Table(_)))
}

impl Reader<'_> {
    /// The limits of single groups: `[queues.NAME.groups."tenant 7"]`.
    fn groups(&mut self, at: usize, queue: &QueueName, value: &DeValue<'_>, fields: &mut Fields) {
        let DeValue::Table(groups) = value else {
            return self.mistake(
                at,
                format!("queues.{queue}.groups: write a table for each: [queues.{queue}.groups.NAME]"),
            );
        };
        for (key, value) in groups {
            let (text, at) = (key.get_ref().as_ref(), key.span().start);
            match GroupName::new(text)
                .map_err(|error| error.to_string())
                .and_then(|name| Ok((name, group(json(value)?)?)))
            {
                Ok((name, spec)) => drop(fields.groups.insert(name, (spec, self.origin(at)))),
                Err(why) => self.mistake(at, format!("queues.{queue}.groups.{text}: {why}")),
            }
        }
    }
}

/// The texts of a setting's value.
fn texts(value: &DeValue<'_>, many: bool) -> Result<Vec<String>, String> {
    match value {
        DeValue::String(text) => Ok(vec![text.as_ref().to_owned()]),
        DeValue::Integer(number) => Ok(vec![number.to_string()]),
        DeValue::Boolean(on) => Ok(vec![on.to_string()]),
        DeValue::Array(values) if many => {
            let mut all = Vec::new();
            for value in values.iter() {
                all.extend(texts(value.get_ref(), false)?);
            }
            Ok(all)
        }
        DeValue::Array(_) => Err("write one value, not a list".to_owned()),
        DeValue::Table(_) => Err("write a value, not a table".to_owned()),
        DeValue::Float(_) | DeValue::Datetime(_) => Err("write the value in quotes".to_owned()),
    }
}

/// The value as JSON, which queues' settings are read from.
fn json(value: &Spanned<DeValue<'_>>) -> Result<Json, String> {
    Ok(match value.get_ref() {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Json::from)
            .map_err(|_| "the number is too large".to_owned())?,
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map(Json::from)
            .map_err(|error| error.to_string())?,
        DeValue::Boolean(on) => Json::from(*on),
        DeValue::Datetime(_) => return Err("no setting is a date".to_owned()),
        DeValue::Array(values) => values.iter().map(json).collect::<Result<_, _>>()?,
        DeValue::Table(table) => {
            let field = |(key, value): (&Spanned<_>, _)| {
                let name: &std::borrow::Cow<'_, str> = key.get_ref();
                json(value).map(|value| (name.as_ref().to_owned(), value))
            };
            Json::Object(table.iter().map(field).collect::<Result<_, _>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let mistakes = parse(&"raincheck.toml".into(), text).unwrap_err();
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_and_queues_are_read_with_the_lines_that_say_them() {
        let text = "# mine\nlog = \"debug\"\ndev = true\nallow_targets = [\"10.0.0.0/8\", \"::1\"]\n\n[queues.thumbs]\n\
                    worker = { push = [\"http://localhost:8000/x\"] }\nconcurrency = 0x10\ntimeout = \"10m\"\n";
        let file = parse(&"f.toml".into(), text).unwrap();
        assert_eq!(file.values["log"].origin.to_string(), "f.toml:2");
        assert_eq!(file.values["dev"].texts, ["true"]);
        assert_eq!(file.values["allow_targets"].texts, ["10.0.0.0/8", "::1"]);
        let queue = &file.queues[&QueueName::new("thumbs").unwrap()];
        assert_eq!(queue.said["concurrency"].value, Some(16.into()));
        assert_eq!(queue.said["timeout"].origin.to_string(), "f.toml:9");
    }

    #[test]
    fn the_rules_of_a_proxy_are_tables() {
        let text = "[[proxy]]\npath = \"/reports/**\"\nupstream = \"http://localhost:8000\"\nmode = \"prefer\"\nafter = \"2s\"\n\
                    retry_codes = [429, 503]\nretry_unsafe = true\n[[proxy]]\npath = \"/**\"\nupstream = \"https://a\"\n\
                    [[proxy]]\nprefix = \"/shop\"\nupstream = \"http://b\"\n[[proxy]]\npath = \"/shop/slow/**\"\nprefix = \"/shop\"\nupstream = \"http://b\"\n";
        let file = parse(&"f.toml".into(), text).unwrap();
        assert_eq!(
            file.values["proxy"].texts,
            [
                "/reports/**=http://localhost:8000;after=2s;mode=prefer;retry_codes=429 503;retry_unsafe=true",
                "/**=https://a",
                "/shop/**=http://b;prefix=/shop",
                "/shop/slow/**=http://b;prefix=/shop",
            ]
        );
        for (text, part) in [
            ("[[proxy]]\npath = \"/a\"", "upstream is missing"),
            ("[[proxy]]\nupstream = \"http://a\"", "path or prefix is missing"),
            (
                "[[proxy]]\npath = \"/a\"\nprefix = \"/b\"\nupstream = \"http://a\"",
                "does not begin with /b",
            ),
            ("[[proxy]]\npath = \"/a\"\nupstream = \"x\"", ":1: proxy: "),
            (
                "[[proxy]]\npath = \"/a=b\"\nupstream = \"http://x\"",
                ":2: proxy.path: ",
            ),
            (
                "[[proxy]]\npath = \"/a\"\nupstream = \"http://x\"\nafer = \"2s\"",
                "did you mean after?",
            ),
            (
                "[[proxy]]\npath = \"/a\"\nupstream = \"http://x\"\nmode = \"x\"",
                "prefer, always or never",
            ),
            ("[proxy]\npath = \"/a\"", ":1: proxy: "),
        ] {
            let all = mistakes(text);
            assert!(all.len() == 1 && all[0].contains(part), "{text:?}: {all:?}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_line_and_what_was_meant() {
        let text = "lisen = \"x\"\n[queues.a]\nconcurency = 4\ncolour = 1\n[quues.b]\n";
        assert_eq!(
            mistakes(text),
            [
                "raincheck.toml:1: there is no setting \"lisen\"; did you mean listen?",
                "raincheck.toml:3: queues.a: there is no setting \"concurency\"; did you mean concurrency?",
                "raincheck.toml:4: queues.a: there is no setting \"colour\"",
                "raincheck.toml:5: there is no setting \"quues\"; did you mean queues?",
            ]
        );
    }

    #[test]
    fn values_that_cannot_be_are_refused_with_their_line() {
        for (text, part) in [
            ("drain = \"soon\"", ":1: drain: "),
            ("drain = 1.5", "in quotes"),
            ("log = [\"a\"]", "one value, not a list"),
            ("\ndev = \"perhaps\"", ":2: dev: "),
            ("queues = 1", "[queues.NAME]"),
            ("[queues]\na = 1", "[queues.a]"),
            ("[queues.\"a b\"]", ":1: queues.a b: "),
            ("[queues.a]\ntimeout = \"soon\"", ":2: queues.a.timeout: "),
            ("[queues.a]\nworker = { push = \"x\" }", ":2: queues.a.worker: "),
            ("log = ", "this is not TOML"),
            ("log = 'a'\nlog = 'b'", ":2: this is not TOML"),
        ] {
            let all = mistakes(text);
            assert!(all.len() == 1 && all[0].contains(part), "{text:?}: {all:?}");
        }
    }
}
