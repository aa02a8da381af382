//! Writing a frame so that ASE, and our own reader, read back what was meant.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::properties::letter;
use crate::formats::{Data, Frame, Value};

/// Writes one frame; `Properties` is made from the columns. Reals keep 8 decimals.
///
/// # Errors
/// What the writer returns.
pub fn write_frame(out: &mut impl Write, frame: &Frame) -> io::Result<()> {
    writeln!(out, "{}", frame.atoms)?;
    writeln!(out, "{}", comment_line(frame))?;
    let mut row = String::new();
    for atom in 0..frame.atoms {
        row.clear();
        for column in &frame.columns {
            for cell in atom * column.width..(atom + 1) * column.width {
                // Writing to a String cannot fail.
                let _ = match &column.data {
                    Data::Real(cells) => write!(row, "{:>16.8} ", cells[cell]),
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

fn comment_line(frame: &Frame) -> String {
    let properties: Vec<String> = frame
        .columns
        .iter()
        .map(|column| format!("{}:{}:{}", column.name, letter(&column.data), column.width))
        .collect();
    let mut header = frame.header.clone();
    header.set("Properties", properties.join(":"));
    let pairs: Vec<String> = header
        .iter()
        .map(|(key, value)| match value {
            Value::Flag => quote(key),
            Value::Text(text) => format!("{}={}", quote(key), quote(text)),
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
