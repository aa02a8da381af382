//! `metrics.csv`: the log as a table, a row for each line of `metrics.jsonl`.
//!
//! Columns are named as in the JSON, with a point between a key and one within it: `validation.energy_mae_mev_per_atom`. A
//! field is empty where there is no number.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::columns::{Columns, numbers};
use super::{LogLine, atomic};
use crate::{Error, Result};

/// The open table.
pub(super) struct CsvLog {
    path: PathBuf,
    file: File,
    columns: Columns,
}

impl CsvLog {
    /// Writes the table of the lines that there are, in place of one that is there, and opens it for more.
    pub(super) fn open(path: &Path, columns: Columns, lines: &[LogLine]) -> Result<Self> {
        let names: Vec<String> = columns.names().iter().map(|name| field(&name.join("."))).collect();
        let mut text = names.join(",") + "\n";
        for line in lines {
            text += &row(&columns, line)?;
        }
        atomic::write_file(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(Error::io(path, "write"))?;
        Ok(Self { path: path.to_owned(), file, columns })
    }

    pub(super) fn push(&mut self, line: &LogLine) -> Result<()> {
        self.file.write_all(row(&self.columns, line)?.as_bytes()).map_err(Error::io(&self.path, "write"))
    }
}

fn row(columns: &Columns, line: &LogLine) -> Result<String> {
    let numbers = numbers(line)?;
    let of = |name: &Vec<String>| {
        let found = numbers.iter().find(|(own, _)| own == name).and_then(|(_, number)| number.as_ref());
        found.map_or(String::new(), ToString::to_string)
    };
    Ok(columns.names().iter().map(of).collect::<Vec<_>>().join(",") + "\n")
}

/// A text as a field of a table, by RFC 4180: in quotes where it would be taken apart otherwise.
fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sources_cannot_break_the_table() {
        assert_eq!(field("loss"), "loss");
        assert_eq!(field("a, \"b\""), "\"a, \"\"b\"\"\"");
    }
}
