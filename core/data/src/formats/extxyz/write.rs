//! Writing a frame so that ASE, and our own reader, read back what was meant.

use std::fmt::Write as _;
use std::io::{self, Write};

use isograd_structure::Element;

use super::properties::letter;
use crate::formats::{Column, Data, Frame, Header, Value};

/// Writes one frame; `Properties` is made from the columns, and atomic numbers are written as symbols where there are none.
/// Numbers are as short as they can be without a change.
///
/// # Errors
/// What the writer returns.
pub fn write_frame(out: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let symbols = symbols(frame);
    let columns: Vec<&Column> = match &symbols {
        Some(symbols) => {
            let others = frame.columns.iter().filter(|column| column.name != NUMBERS);
            std::iter::once(symbols).chain(others).collect()
        }
        None => frame.columns.iter().collect(),
    };
    writeln!(out, "{}", frame.atoms)?;
    writeln!(out, "{}", comment_line(&frame.header, &columns))?;
    let mut row = String::new();
    for atom in 0..frame.atoms {
        row.clear();
        for column in &columns {
            for cell in atom * column.width..(atom + 1) * column.width {
                // Writing to a String cannot fail.
                let _ = match &column.data {
                    Data::Real(cells) => write!(row, "{:>16} ", cells[cell]),
                    Data::Integer(cells) => write!(row, "{:>4} ", cells[cell]),
                    Data::Text(cells) => write!(row, "{:<2} ", cells[cell]),
                    Data::Logical(cells) => write!(row, "{} ", if cells[cell] { "T" } else { "F" }),
                };
            }
        }
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

/// The column of atomic numbers that formats without symbols have.
const NUMBERS: &str = "numbers";

/// The symbols of a frame that has atomic numbers only; ASE looks for symbols.
fn symbols(frame: &Frame) -> Option<Column> {
    if frame.column("species").is_some() {
        return None;
    }
    let Data::Integer(numbers) = &frame.column(NUMBERS)?.data else { return None };
    let symbol = |&number: &i64| Element::from_number(number).map(Element::symbol);
    let symbols: Vec<&str> = numbers.iter().map(symbol).collect::<Option<_>>()?;
    Some(Column::words("species", &symbols))
}

fn comment_line(header: &Header, columns: &[&Column]) -> String {
    let properties: Vec<String> =
        columns.iter().map(|column| format!("{}:{}:{}", column.name, letter(&column.data), column.width)).collect();
    let mut header = header.clone();
    header.set("Properties", properties.join(":"));
    let pairs: Vec<String> = header
        .iter()
        .map(|(key, value)| match value {
            Value::Flag => quote(key),
            value => format!("{}={}", quote(key), quote(&value.text())),
        })
        .collect();
    pairs.join(" ")
}

/// Quotes text that would otherwise end early or be read as something else.
fn quote(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.contains(|c: char| {
            c.is_whitespace() || matches!(c, '"' | '\'' | '=' | '{' | '}' | '[' | ']' | '\\' | ',')
        });
    if plain {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::super::FrameReader;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = "2\nProperties=species:S:1:pos:R:3:tag:I:1:fixed:L:1 note=\"a \\\"b\\\" c\\\\d\" Lattice=\"5 0 0 0 5 0 0 0 5\" lone pbc=\"T T F\"\n\
                    H 0 0 0.12345678 1 T\nCl 1 -2 3 0 F\n";
        let first: Vec<Frame> = FrameReader::new(text.as_bytes(), "a").collect::<Result<_, _>>().unwrap();
        let mut written = Vec::new();
        write_frame(&mut written, &first[0]).unwrap();
        let second: Vec<Frame> = FrameReader::new(written.as_slice(), "b").collect::<Result<_, _>>().unwrap();
        assert_eq!(first, second);
    }
}
