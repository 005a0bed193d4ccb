//! The OpenAPI document as a page for people.
//!
//! Invariant: everything on it comes from the document, and every operation, parameter, field and answer of the document
//! is on it.

use std::fmt::Write as _;

use serde_json::Value;

use super::example::curl;
use super::page::slug;
use crate::api::code::Code;

/// The parts of the API in the order in which one meets them, by the tag of their operations.
const PARTS: [(&str, &str); 7] = [
    ("jobs", "Jobs and results"),
    ("batches", "Batches"),
    ("workers", "Pull workers"),
    ("queues", "Queues and their settings"),
    ("webhooks", "Webhooks"),
    ("keys", "API keys"),
    ("server", "The server itself"),
];

/// Parameters with which the answers to many requests can be asked for in another way are told once.
const SHARED: &str = "#/components/parameters/";

/// The page, in Markdown.
pub(super) fn reference(openapi: &str) -> String {
    let document: Value = serde_json::from_str(openapi).expect("the document is made here");
    let mut page = Page {
        out: String::with_capacity(128 << 10),
        document: &document,
    };
    page.all();
    page.out
}

struct Page<'a> {
    out: String,
    document: &'a Value,
}

/// An operation and where it is.
struct Operation<'a> {
    method: String,
    path: &'a str,
    said: &'a Value,
}

impl Operation<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// In one line, as it stands in a list.
fn line(value: &Value) -> String {
    text(value).split_whitespace().collect::<Vec<_>>().join(" ")
}

impl<'a> Page<'a> {
    fn all(&mut self) {
        let info = &self.document["info"];
        self.say(&format!(
            "# Raincheck: the API, version {}",
            text(&info["version"])
        ));
        self.say(text(&info["description"]));
        self.say(
            "The same for programs is [openapi.json](/openapi.json); every code of a refusal has a page among the \
             [problems](/problems).",
        );
        let mut operations = self.operations();
        let mut parts: Vec<(&str, &str)> = PARTS.to_vec();
        // A part that nobody has named yet comes last, under its tag.
        for operation in &operations {
            let tag = text(&operation.said["tags"][0]);
            if !parts.iter().any(|(known, _)| *known == tag) {
                parts.push((tag, tag));
            }
        }
        for (tag, title) in parts {
            let (part, rest) = operations
                .into_iter()
                .partition(|operation| text(&operation.said["tags"][0]) == tag);
            operations = rest;
            self.part(title, part);
        }
        self.refusals();
        self.schemas();
    }

    /// Every code, with the page that explains it.
    fn refusals(&mut self) {
        self.say("## Refusals");
        let code = |code: &Code| {
            let (name, status) = (code.as_str(), code.status().as_u16());
            format!("[{name}](/problems/{name}): {status}, {}", code.title())
        };
        let codes: Vec<String> = Code::ALL.iter().map(code).collect();
        self.list("", &codes);
    }

    fn operations(&self) -> Vec<Operation<'a>> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().into_iter().flatten();
                methods.map(move |(method, said)| Operation {
                    method: method.to_uppercase(),
                    path,
                    said,
                })
            })
            .collect()
    }

    /// A paragraph, or several.
    fn say(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push_str("\n\n");
    }

    fn part(&mut self, title: &str, operations: Vec<Operation<'a>>) {
        self.say(&format!("## {title}"));
        for operation in &operations {
            let name = operation.name();
            let summary = line(&operation.said["summary"]);
            // Writing to a string does not fail.
            let _ = writeln!(self.out, "- [{name}](#{}): {summary}", slug(&name));
        }
        self.out.push('\n');
        for operation in operations {
            self.operation(&operation);
        }
    }

    fn operation(&mut self, operation: &Operation<'a>) {
        let said = operation.said;
        self.say(&format!("### {}", operation.name()));
        self.say(text(&said["summary"]));
        if said["description"].is_string() {
            self.say(text(&said["description"]));
        }
        let example = curl(text(&said["operationId"]), &operation.method, operation.path);
        self.say(&format!("```sh\n{example}\n```"));
        let parameters = said["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<String> = parameters.map(|parameter| self.parameter(parameter)).collect();
        self.list("Takes", &parameters);
        if let Some(content) = said["requestBody"]["content"].as_object() {
            for (kind, media) in content {
                let what = self.kind_of(&media["schema"]);
                let optional = if said["requestBody"]["required"] == false {
                    ", which may be left out"
                } else {
                    ""
                };
                let what = if what.is_empty() {
                    String::new()
                } else {
                    format!(": {what}")
                };
                self.say(&format!("Body `{kind}`{what}{optional}"));
                let fields = self.fields(&media["schema"], "");
                self.list("", &fields);
            }
        }
        let answers = said["responses"].as_object().into_iter().flatten();
        let answers: Vec<String> = answers
            .map(|(status, answer)| self.answer(status, answer))
            .collect();
        self.list("Answers", &answers);
    }

    fn list(&mut self, title: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        if !title.is_empty() {
            self.say(title);
        }
        for item in items {
            let _ = writeln!(self.out, "- {item}");
        }
        self.out.push('\n');
    }

    /// What a reference leads to, or the value itself.
    fn resolved(&self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
        target
            .and_then(|target| self.document.pointer(target))
            .unwrap_or(value)
    }

    fn parameter(&self, parameter: &'a Value) -> String {
        let shared = text(&parameter["$ref"]).starts_with(SHARED);
        let parameter = self.resolved(parameter);
        let schema = &parameter["schema"];
        let mut about = vec![format!("in the {}", text(&parameter["in"])), self.kind_of(schema)];
        if parameter["required"] == true && parameter["in"] != "path" {
            about.push("required".to_owned());
        }
        let example = if shared {
            &schema["examples"][0]
        } else {
            &parameter["example"]
        };
        let example = match (example.as_str(), example.is_null()) {
            (_, true) => String::new(),
            (Some(example), _) => format!(" Such as `{example}`."),
            (None, _) => format!(" Such as `{example}`."),
        };
        let (name, doc) = (text(&parameter["name"]), line(&parameter["description"]));
        format!("`{name}` ({}): {doc}{example}", about.join(", "))
    }

    fn answer(&self, status: &str, answer: &'a Value) -> String {
        let status = if status == "default" { "4xx, 5xx" } else { status };
        let content = answer["content"].as_object().into_iter().flatten();
        let content: Vec<String> = content
            .map(|(kind, media)| match self.kind_of(&media["schema"]) {
                what if what.is_empty() => format!("`{kind}`"),
                what => format!("`{kind}` {what}"),
            })
            .collect();
        let content = if content.is_empty() {
            String::new()
        } else {
            format!(" ({})", content.join(" or "))
        };
        format!("{status}{content}: {}", line(&answer["description"]))
    }

    /// What a value is, in a few words.
    fn kind_of(&self, schema: &'a Value) -> String {
        if let Some(name) = schema["$ref"]
            .as_str()
            .and_then(|target| target.rsplit('/').next())
        {
            return format!("[{name}](#{})", slug(name));
        }
        if let Some(several) = schema["oneOf"].as_array().or(schema["allOf"].as_array()) {
            let several: Vec<String> = several.iter().map(|one| self.kind_of(one)).collect();
            let between = if schema["oneOf"].is_array() {
                " or "
            } else {
                " with "
            };
            return several.join(between);
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            return values.join(", ");
        }
        if !schema["const"].is_null() {
            return format!("`{}`", schema["const"]);
        }
        let kind = &schema["type"];
        let kinds: Vec<&str> = match kind.as_array() {
            Some(kinds) => kinds.iter().map(text).collect(),
            None => vec![text(kind)],
        };
        let kinds: Vec<String> = kinds
            .into_iter()
            .map(|kind| match kind {
                "array" => format!("list of {}", self.kind_of(&schema["items"])),
                kind => kind.to_owned(),
            })
            .collect();
        kinds.join(" or ")
    }

    /// The fields of an object, and of objects written out inside it.
    fn fields(&self, schema: &'a Value, above: &str) -> Vec<String> {
        let mut fields = Vec::new();
        for one in schema["oneOf"]
            .as_array()
            .or(schema["allOf"].as_array())
            .into_iter()
            .flatten()
        {
            fields.extend(self.fields(one, above));
        }
        let required = |name: &str| {
            let required = schema["required"].as_array().into_iter().flatten();
            required.into_iter().any(|required| required == name)
        };
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{above}{name}");
            let mut about = self.kind_of(field);
            if required(name) {
                about.push_str(if about.is_empty() {
                    "required"
                } else {
                    ", required"
                });
            }
            let about = if about.is_empty() {
                about
            } else {
                format!(" ({about})")
            };
            fields.push(format!("`{path}`{about}: {}", line(&field["description"])));
            fields.extend(self.fields(field, &format!("{path}.")));
        }
        fields
    }

    fn schemas(&mut self) {
        self.say("## Documents");
        let schemas = self.document["components"]["schemas"].as_object();
        for (name, schema) in schemas.into_iter().flatten() {
            self.say(&format!("### {name}"));
            if schema["description"].is_string() {
                self.say(text(&schema["description"]));
            }
            let fields = self.fields(schema, "");
            if fields.is_empty() || schema["oneOf"].is_array() || schema["allOf"].is_array() {
                let kind = self.kind_of(schema);
                self.say(&format!("It is {kind}."));
            }
            self.list("", &fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::openapi_json;

    #[test]
    fn everything_of_the_document_is_on_the_page() {
        let openapi = openapi_json();
        let page = reference(&openapi);
        let document: Value = serde_json::from_str(&openapi).unwrap();
        let mut operations = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, said) in item.as_object().unwrap() {
                operations += 1;
                let name = format!("{} {path}", method.to_uppercase());
                assert!(page.contains(&format!("\n### {name}\n")), "{name}");
                assert!(page.contains(&format!("- [{name}](#")), "{name}");
                assert!(page.contains(text(&said["summary"])), "{name}");
            }
        }
        assert_eq!(page.matches("\nAnswers\n").count(), operations);
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("\n### {name}\n")), "{name}");
        }
        assert_eq!(page.matches("\n```sh\ncurl ").count(), operations);
        for code in Code::ALL {
            assert!(
                page.contains(&format!("(/problems/{})", code.as_str())),
                "{code:?}"
            );
        }
        for parameter in document["components"]["parameters"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("- `{parameter}` (")), "{parameter}");
        }
    }

    #[test]
    fn every_link_of_the_page_leads_somewhere() {
        let page = reference(&openapi_json());
        let headings: Vec<String> = page
            .lines()
            .filter_map(|line| {
                line.trim_start_matches('#')
                    .strip_prefix(' ')
                    .filter(|_| line.starts_with("##"))
            })
            .map(slug)
            .collect();
        let links: Vec<&str> = page
            .split("](#")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
            .collect();
        assert!(links.len() > 50, "{links:?}");
        for link in links {
            assert!(headings.iter().any(|heading| heading == link), "{link}");
        }
        let mut once = headings.clone();
        once.sort();
        once.dedup();
        assert_eq!(
            once.len(),
            headings.len(),
            "headings are told apart by their names"
        );
    }
}
