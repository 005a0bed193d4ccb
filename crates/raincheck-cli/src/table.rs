//! Tables and records: aligned with headings on a terminal, tab-separated in a pipe.
//!
//! Invariant: a value is cut or escaped here and nowhere else, so that every command's output lines up.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Row};

use crate::exit::Failed;
use crate::output::{Output, Paint, Shape, visible};

/// One cell: its text, its colour, and whether it is a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Value {
    text: String,
    paint: Option<Paint>,
    number: bool,
}

impl Value {
    /// A text, shown with its control characters escaped.
    pub(crate) fn text(text: &str) -> Self {
        Self {
            text: visible(text).into_owned(),
            ..Self::default()
        }
    }

    /// A count, aligned to the right.
    pub(crate) fn count(count: u64) -> Self {
        Self {
            text: count.to_string(),
            paint: (count == 0).then_some(Paint::Dim),
            number: true,
        }
    }

    /// A measurement with so many places behind the point, aligned to the right; `-` where it is not known.
    pub(crate) fn measured(value: Option<f64>, places: usize) -> Self {
        Self {
            text: value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}")),
            paint: value.is_none().then_some(Paint::Dim),
            number: true,
        }
    }

    /// A state's or an outcome's name in its colour.
    pub(crate) fn state(name: &str) -> Self {
        Self {
            paint: Paint::of(name),
            ..Self::text(name)
        }
    }

    fn cell(self) -> Cell {
        let mut cell = Cell::new(self.text);
        if self.number {
            cell = cell.set_alignment(CellAlignment::Right);
        }
        match self.paint {
            Some(Paint::Good) => cell.fg(Color::DarkGreen),
            Some(Paint::Busy) => cell.fg(Color::DarkCyan),
            Some(Paint::Bad) => cell.fg(Color::DarkRed),
            Some(Paint::Dim) => cell.add_attribute(Attribute::Dim),
            None => cell,
        }
    }
}

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table {
    heads: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// An empty table.
    pub(crate) const fn new(heads: &'static [&'static str]) -> Self {
        Self {
            heads,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, values: Vec<Value>) {
        self.rows.push(values);
    }

    /// Writes the rows that were added since the last time.
    pub(crate) fn flush(&mut self, output: Output) -> Result<(), Failed> {
        let rows = std::mem::take(&mut self.rows);
        let heads = self.heads;
        Self { heads, rows }.write(output)
    }

    /// Writes the table; without rows, nothing.
    pub(crate) fn write(self, output: Output) -> Result<(), Failed> {
        if self.rows.is_empty() {
            return Ok(());
        }
        output.line(&self.render(output.shape, output.colour))
    }

    fn render(self, shape: Shape, colour: bool) -> String {
        if shape != Shape::Terminal {
            let line = |row: Vec<Value>| {
                row.into_iter()
                    .map(|value| value.text)
                    .collect::<Vec<_>>()
                    .join("\t")
            };
            return self.rows.into_iter().map(line).collect::<Vec<_>>().join("\n");
        }
        let mut table = comfy_table::Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let numbers = self.rows.first().map(|row| row.iter().map(|value| value.number));
        let heads = self.heads.iter().zip(numbers.into_iter().flatten());
        let heads = heads.map(|(head, number)| {
            let cell = Cell::new(head).add_attribute(Attribute::Dim);
            if number {
                cell.set_alignment(CellAlignment::Right)
            } else {
                cell
            }
        });
        table.set_header(Row::from(heads.collect::<Vec<_>>()));
        for row in self.rows {
            table.add_row(Row::from(row.into_iter().map(Value::cell).collect::<Vec<_>>()));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt()
    }
}

/// Names and values of one thing, one a line.
#[derive(Debug, Default)]
pub(crate) struct Record {
    fields: Vec<(&'static str, Value)>,
}

impl Record {
    /// Adds a field.
    pub(crate) fn field(&mut self, name: &'static str, value: Value) {
        self.fields.push((name, value));
    }

    /// Writes the record.
    pub(crate) fn write(self, output: Output) -> Result<(), Failed> {
        output.line(&self.render(output.shape, output.colour))
    }

    fn render(self, shape: Shape, colour: bool) -> String {
        let width = match shape {
            Shape::Terminal => self.fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0),
            Shape::Plain | Shape::Json | Shape::Quiet => 0,
        };
        let line = |(name, value): (&str, Value)| {
            if shape != Shape::Terminal {
                return format!("{name}\t{}", value.text);
            }
            let text = match value.paint {
                Some(paint) => crate::output::paint(&value.text, paint, colour).into_owned(),
                None => value.text,
            };
            format!(
                "{}  {text}",
                crate::output::paint(&format!("{name:<width$}"), Paint::Dim, colour)
            )
        };
        self.fields.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "STATE", "QUEUED"]);
        table.row(vec![
            Value::text("thumbs"),
            Value::state("running"),
            Value::count(12),
        ]);
        table.row(vec![Value::text("ü\x1b"), Value::text("-"), Value::count(0)]);
        table
    }

    #[test]
    fn a_table_lines_up_on_a_terminal() {
        assert_eq!(
            table().render(Shape::Terminal, false),
            "NAME     STATE    QUEUED\nthumbs   running      12\nü\\u{1b}  -             0"
        );
        assert!(table().render(Shape::Terminal, true).contains("\x1b["));
    }

    #[test]
    fn a_table_in_a_pipe_is_tabs_and_nothing_else() {
        assert_eq!(
            table().render(Shape::Plain, false),
            "thumbs\trunning\t12\nü\\u{1b}\t-\t0"
        );
    }

    #[test]
    fn a_record_has_one_field_a_line() {
        let record = || {
            let mut record = Record::default();
            record.field("id", Value::text("job_1"));
            record.field("state", Value::state("failed"));
            record
        };
        assert_eq!(
            record().render(Shape::Terminal, false),
            "id     job_1\nstate  failed"
        );
        assert_eq!(record().render(Shape::Plain, false), "id\tjob_1\nstate\tfailed");
    }
}
