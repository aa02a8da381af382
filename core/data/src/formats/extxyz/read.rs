//! Reading frames one after the other, so that a file of any length takes the memory of a frame.

use std::io::BufRead;

use super::comment::parse_comment;
use super::properties::{parse_properties, push};
use crate::formats::{Column, Frame};
use crate::{Error, Result};

/// The most atoms a frame may claim; above, the count is taken for a damaged file.
const MOST_ATOMS: usize = 1 << 31;

/// Iterates over the frames of an extended-XYZ stream.
///
/// After an error the iterator ends: in this format a damaged frame hides where the next begins.
pub struct FrameReader<R> {
    input: R,
    name: String,
    line: usize,
    index: usize,
    buffer: String,
    done: bool,
}

impl<R: BufRead> FrameReader<R> {
    /// Reads from `input`; `name` stands for the file in errors.
    pub fn new(input: R, name: impl Into<String>) -> Self {
        Self { input, name: name.into(), line: 0, index: 0, buffer: String::new(), done: false }
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::frame(&self.name, self.line, self.index)(message.into())
    }

    /// Reads the next line into the buffer; false at the end of the stream.
    fn next_line(&mut self) -> Result<bool> {
        self.buffer.clear();
        self.line += 1;
        match self.input.read_line(&mut self.buffer) {
            Ok(count) => Ok(count > 0),
            Err(error) => Err(self.error(format!("cannot read on: {error} (is the file complete, and is it text?)"))),
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        // Blank lines between and after frames are let pass.
        loop {
            if !self.next_line()? {
                return Ok(None);
            }
            if !self.buffer.trim().is_empty() {
                break;
            }
        }
        let word = self.buffer.trim();
        let atoms = word.parse().ok().filter(|&atoms: &usize| atoms <= MOST_ATOMS);
        let Some(atoms) = atoms else {
            let shown: String = word.chars().take(40).collect();
            return Err(self.error(format!("expected the number of atoms, found `{shown}`")));
        };
        let line = self.line;
        if !self.next_line()? {
            return Err(self.error("the file ends before the comment line"));
        }
        let header_line = self.line;
        let header = parse_comment(&self.buffer).map_err(|message| self.error(message))?;
        let properties = match header.get("Properties") {
            Some(value) => value.text(),
            None => "species:S:1:pos:R:3".into(),
        };
        let mut columns = parse_properties(&properties).map_err(|message| self.error(message))?;
        for atom in 0..atoms {
            if !self.next_line()? {
                return Err(self.error(format!("the file ends after {atom} of {atoms} atoms")));
            }
            parse_row(&self.buffer, &mut columns).map_err(|message| self.error(message))?;
        }
        let index = self.index;
        self.index += 1;
        Ok(Some(Frame { atoms, header, columns, line, header_line, index, converted_from: None }))
    }
}

fn parse_row(row: &str, columns: &mut [Column]) -> Result<(), String> {
    let expected: usize = columns.iter().map(|column| column.width).sum();
    // Unicode white space, as Python splits: a lone vertical tab is no cell.
    let mut words = row.split_whitespace();
    for column in columns.iter_mut() {
        for _ in 0..column.width {
            let word = words.next().ok_or_else(|| {
                format!("{} values where Properties asks for {expected}", row.split_whitespace().count())
            })?;
            push(&mut column.data, word).map_err(|message| format!("column `{}`: {message}", column.name))?;
        }
    }
    // A plain XYZ file may have more columns than the four that it is read for.
    match words.next() {
        Some(_) if expected > 4 => {
            Err(format!("{} values where Properties asks for {expected}", row.split_whitespace().count()))
        }
        _ => Ok(()),
    }
}

impl<R: BufRead> Iterator for FrameReader<R> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.next_frame();
        self.done = !matches!(frame, Ok(Some(_)));
        frame.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Data;

    fn read(text: &str) -> Result<Vec<Frame>> {
        FrameReader::new(text.as_bytes(), "test.xyz").collect()
    }

    #[test]
    fn columns_in_any_order() {
        let text = "2\nProperties=forces:R:3:id:I:1:pos:R:3:species:S:1:fixed:L:1 energy=-3\n\
                    1 2 3 7 0.5 0 0 H T\n-1 -2 -3 8 0 0 1e-1 Cl F\n";
        let frame = read(text).unwrap().remove(0);
        assert_eq!(frame.column("pos").unwrap().as_vectors().unwrap(), [[0.5, 0.0, 0.0], [0.0, 0.0, 0.1]]);
        assert_eq!(frame.column("species").unwrap().data, Data::Text(vec!["H".into(), "Cl".into()]));
        assert_eq!(frame.column("fixed").unwrap().data, Data::Logical(vec![true, false]));
        assert_eq!(frame.column("id").unwrap().data, Data::Integer(vec![7, 8]));
    }

    #[test]
    fn errors_name_file_line_and_frame() {
        let good = "1\n\nH 0 0 0\n";
        for (bad, line, expected) in [
            ("x\n", 4, "expected the number of atoms, found `x`"),
            ("-1\n", 4, "expected the number of atoms"),
            ("99999999999999\n", 4, "expected the number of atoms"),
            ("1\n", 5, "ends before the comment"),
            ("2\n\nH 0 0 0\n", 7, "ends after 1 of 2 atoms"),
            ("1\n\nH 0 0\n", 6, "3 values where Properties asks for 4"),
            ("1\n\nH 0 0 zero\n", 6, "column `pos`: `zero` is not a number"),
            ("1\nProperties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 1 1 1 1\n", 6, "8 values"),
            ("1\nenergy=\"3\nH 0 0 0\n", 5, "not closed"),
        ] {
            let message = read(&format!("{good}{bad}")).unwrap_err().to_string();
            assert!(message.starts_with(&format!("test.xyz:{line}: frame 1: ")), "{message}");
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn any_white_space_separates_cells() {
        assert!(read("1\nProperties=species:S:2\nH \u{b} \u{a0}\n").unwrap_err().to_string().contains("1 values"));
    }

    #[test]
    fn blank_lines_windows_line_ends_and_empty_frames() {
        let frames = read("0\n\n\n1\r\nkey=3\r\nH 0 0 0\r\n\n\n").unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].atoms, 0);
        assert_eq!(frames[1].header.get("key").unwrap().number(), Some(3.0));
        assert!(read("").unwrap().is_empty());
    }
}
