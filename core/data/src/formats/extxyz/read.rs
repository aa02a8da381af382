//! Reading frames one after the other, so that a file of any length takes the memory of a frame.

use std::io::{self, BufRead};

use memchr::memchr2;

use super::comment::parse_comment;
use super::properties::{parse_properties, push};
use crate::formats::header::parse_number;
use crate::formats::{Column, Frame, Header};
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
    /// Whether the last line ended with a carriage return, to which a line feed may belong.
    returned: bool,
    /// What came of reading the line after the last frame, which is in the buffer.
    ahead: Option<Result<bool>>,
    done: bool,
}

impl<R: BufRead> FrameReader<R> {
    /// Reads from `input`; `name` stands for the file in errors.
    pub fn new(input: R, name: impl Into<String>) -> Self {
        let (name, buffer) = (name.into(), String::new());
        Self { input, name, line: 0, index: 0, buffer, returned: false, ahead: None, done: false }
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::frame(&self.name, self.line, self.index)(message.into())
    }

    /// Reads the next line into the buffer, without its end: a line feed, a carriage return, or both. False at the end of the
    /// stream.
    fn next_line(&mut self) -> Result<bool> {
        let mut line = std::mem::take(&mut self.buffer).into_bytes();
        line.clear();
        self.line += 1;
        let is_there = self.read_line(&mut line);
        let is_there =
            is_there.map_err(|error| self.error(format!("cannot read on: {error} (is the file complete?)")))?;
        self.buffer = String::from_utf8(line).map_err(|error| self.error(not_text(error.as_bytes())))?;
        if self.line == 1 && self.buffer.starts_with(MARK) {
            self.buffer.drain(..MARK.len_utf8());
        }
        Ok(is_there)
    }

    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let mut there = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                there => there?,
            };
            if there.is_empty() {
                return Ok(!line.is_empty());
            }
            let skipped = usize::from(std::mem::take(&mut self.returned) && there[0] == b'\n');
            there = &there[skipped..];
            let end = memchr2(b'\n', b'\r', there);
            line.extend_from_slice(&there[..end.unwrap_or(there.len())]);
            self.returned = end.is_some_and(|end| there[end] == b'\r');
            let read = skipped + end.map_or(there.len(), |end| end + 1);
            self.input.consume(read);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        // Blank lines between and after frames are let pass, and what old systems end a file with.
        let blank = |c: char| c.is_whitespace() || c == '\0' || c == END_OF_FILE;
        loop {
            if !self.ahead.take().unwrap_or_else(|| self.next_line())? {
                return Ok(None);
            }
            if !self.buffer.chars().all(blank) {
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
        let mut header = parse_comment(&self.buffer).map_err(|message| self.error(message))?;
        spell_keys(&mut header);
        turn_nested_lattice(&mut header).map_err(|message| self.error(message))?;
        let properties = match header.get("Properties") {
            Some(value) => value.text(),
            None => "species:S:1:pos:R:3".into(),
        };
        let mut columns = parse_properties(&properties).map_err(|message| self.error(message))?;
        let mut remarks = Vec::new();
        for atom in 0..atoms {
            if !self.next_line()? {
                return Err(self.error(format!("the file ends after {atom} of {atoms} atoms")));
            }
            let more = parse_row(&self.buffer, &mut columns).map_err(|message| self.error(message))?;
            if more && remarks.is_empty() {
                remarks.push(MORE_CELLS);
            }
        }
        let index = self.index;
        self.index += 1;
        self.read_cell_lines(&mut header).map_err(Error::frame(&self.name, self.line, index))?;
        Ok(Some(Frame { atoms, header, columns, line, header_line, index, converted_from: None, remarks }))
    }

    /// Reads lines `VEC1 x y z` to `VEC3 x y z` that may follow the atoms: lattice vectors, where the comment has none.
    fn read_cell_lines(&mut self, header: &mut Header) -> Result<(), String> {
        let mut vectors = Vec::new();
        while vectors.len() < 9 {
            let read = self.next_line();
            let name = format!("VEC{}", vectors.len() / 3 + 1);
            let Some(rest) = self.buffer.trim_start().strip_prefix(&name).filter(|_| matches!(read, Ok(true))) else {
                self.ahead = Some(read);
                break;
            };
            let numbers: Option<Vec<f64>> = rest.split_whitespace().map(parse_number).collect();
            let numbers = numbers.filter(|numbers| numbers.len() == 3);
            vectors.extend(numbers.ok_or_else(|| format!("expected three numbers after {name}"))?);
        }
        match vectors.len() {
            0 => {}
            9 if header.get(LATTICE).is_none() => header.set(LATTICE, vectors.as_slice()),
            9 => {}
            some => return Err(format!("{} of the lines VEC1, VEC2 and VEC3 follow the atoms", some / 3)),
        }
        Ok(())
    }
}

/// A remark about a frame.
const MORE_CELLS: &str = "rows of atoms have more cells than `Properties` names: what is left over is not read";

/// The key of the lattice vectors.
const LATTICE: &str = "Lattice";

/// Keys that this format defines; people write them in other cases.
const DEFINED: [&str; 3] = [LATTICE, "Properties", "pbc"];

/// What some editors begin a file with.
const MARK: char = '\u{feff}';

/// What DOS ended a file with.
const END_OF_FILE: char = '\u{1a}';

/// What is wrong with a line that is not UTF-8.
fn not_text(line: &[u8]) -> String {
    if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) {
        return "the file is UTF-16, expected UTF-8; convert it with `iconv -f UTF-16 -t UTF-8`".into();
    }
    let place = std::str::from_utf8(line).err().map_or(0, |error| error.valid_up_to());
    let byte = line.get(place).copied().unwrap_or_default();
    format!(
        "byte {} of the line is {byte:#04x}, which is not UTF-8; if the file is text in Latin-1, convert it with \
         `iconv -f LATIN1 -t UTF-8`",
        place + 1
    )
}

/// Gives keys that the format defines the spelling of its definition.
fn spell_keys(header: &mut Header) {
    for defined in DEFINED {
        if header.get(defined).is_none() {
            header.rename(|key| key.eq_ignore_ascii_case(defined), defined);
        }
    }
}

/// `Lattice=[[..], [..], [..]]` is a matrix whose columns are the lattice vectors, as the definition of the format has it; nine
/// numbers alone are its columns one after the other.
fn turn_nested_lattice(header: &mut Header) -> Result<(), String> {
    let Some(value) = header.get(LATTICE) else { return Ok(()) };
    let text = value.text();
    let text = text.trim_start().trim_start_matches("_JSON").trim_start();
    if !text.starts_with('[') || !text[1..].trim_start().starts_with('[') {
        return Ok(());
    }
    let numbers = value.numbers().filter(|numbers| numbers.len() == 9);
    let rows = numbers.ok_or_else(|| format!("`Lattice={text}`: expected three rows of three numbers"))?;
    let turned: Vec<f64> = (0..9).map(|place| rows[place % 3 * 3 + place / 3]).collect();
    header.set(LATTICE, turned.as_slice());
    Ok(())
}

/// Reads the cells of a row; whether there are more than `Properties` asks for.
fn parse_row(row: &str, columns: &mut [Column]) -> Result<bool, String> {
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
    Ok(words.next().is_some() && expected > 4)
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
            ("1\nProperties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 1 1\n", 6, "6 values where Properties asks for 7"),
            ("1\nenergy=\"3\nH 0 0 0\n", 5, "not closed"),
            ("\u{feff}1\n", 4, "expected the number of atoms"),
        ] {
            let message = read(&format!("{good}{bad}")).unwrap_err().to_string();
            assert!(message.starts_with(&format!("test.xyz:{line}: frame 1: ")), "{message}");
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn more_cells_than_are_named_are_told_of() {
        let frames = read("1\nProperties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 1 1 1 9 x\n1\n\nH 0 0 0 7\n").unwrap();
        assert_eq!(frames[0].column("forces").unwrap().as_vectors().unwrap(), [[1.0; 3]]);
        assert_eq!(frames.iter().map(|frame| frame.remarks.len()).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn any_white_space_separates_cells() {
        assert!(read("1\nProperties=species:S:2\nH \u{b} \u{a0}\n").unwrap_err().to_string().contains("1 values"));
    }

    #[test]
    fn blank_lines_and_empty_frames() {
        let frames = read("0\n\n\n1\r\nkey=3\r\nH 0 0 0\r\n\n\n").unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].atoms, 0);
        assert_eq!(frames[1].header.get("key").unwrap().number(), Some(3.0));
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn lines_end_as_systems_end_them() {
        let unix = "2\nenergy=1.5\nH 0 0 0\nH 0 0 1\n1\n\nO 0 0 0";
        let expected = read(unix).unwrap();
        assert_eq!(expected.len(), 2);
        for end in ["\r\n", "\r"] {
            let text = unix.replace('\n', end);
            assert_eq!(read(&text).unwrap(), expected);
            // However the bytes come, also with an end cut in two.
            let slow = io::BufReader::with_capacity(1, text.as_bytes());
            assert_eq!(FrameReader::new(slow, "slow.xyz").collect::<Result<Vec<_>>>().unwrap(), expected);
        }
        assert_eq!(read(&format!("\u{feff}{unix}\n\u{1a}")).unwrap(), expected);
        assert_eq!(read(&format!("{unix}\n\0\0\0")).unwrap(), expected);
        assert_eq!(read("1\r\n\r\nH 0 0 x\r\n").unwrap_err().to_string().split(": ").next(), Some("test.xyz:3"));
    }

    #[test]
    fn other_encodings_are_named() {
        let read = |bytes: &[u8]| FrameReader::new(bytes, "t").next().unwrap().unwrap_err().to_string();
        let utf_16: Vec<u8> = "\u{feff}1\n\nH 0 0 0\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(read(&utf_16).contains("iconv -f UTF-16 -t UTF-8"));
        let latin = read(b"1\nunit=\xc5\nH 0 0 0\n");
        assert!(latin.starts_with("t:2: ") && latin.contains("byte 6 of the line is 0xc5"), "{latin}");
    }

    #[test]
    fn keys_of_the_format_in_any_case() {
        let frames =
            read("1\nlattice=\"1 0 0 0 2 0 0 0 3\" PBC=\"T T F\" properties=species:S:1:pos:R:3:f:R:1\nH 0 0 0 7\n");
        let frame = frames.unwrap().remove(0);
        assert_eq!(frame.header.get("Lattice").unwrap().numbers().unwrap()[4], 2.0);
        assert_eq!(frame.header.get("pbc").unwrap().booleans(), Some(vec![true, true, false]));
        assert_eq!(frame.column("f").unwrap().data, Data::Real(vec![7.0]));
        // The spelling of the definition wins.
        let frame = read("1\nPBC=T pbc=F\nH 0 0 0\n").unwrap().remove(0);
        assert_eq!(frame.header.get("pbc").unwrap().booleans(), Some(vec![false]));
    }

    #[test]
    fn a_nested_lattice_has_vectors_in_its_columns() {
        let lattice = |text: &str| {
            read(&format!("1\nLattice={text}\nH 0 0 0\n")).unwrap()[0].header.get("Lattice").unwrap().numbers()
        };
        let flat = lattice("\"1 2 3 4 5 6 7 8 9\"");
        assert_eq!(lattice("[[1, 4, 7], [2, 5, 8], [3, 6, 9]]"), flat);
        assert_eq!(lattice("\"_JSON [[1, 4, 7], [2, 5, 8], [3, 6, 9]]\""), flat);
        assert_eq!(lattice("[1, 2, 3, 4, 5, 6, 7, 8, 9]"), flat);
        assert!(
            read("1\nLattice=[[1, 2], [3, 4]]\nH 0 0 0\n").unwrap_err().to_string().contains("three rows of three")
        );
    }

    #[test]
    fn lattice_vectors_may_follow_the_atoms() {
        let text = "1\n\nH 0 0 0\nVEC1 4 0 0\nVEC2 0 5 0\nVEC3 0 0 6\n1\n\nO 0 0 0\n";
        let frames = read(text).unwrap();
        let nine = frames[0].header.get("Lattice").unwrap().numbers().unwrap();
        assert_eq!((nine[0], nine[4], nine[8]), (4.0, 5.0, 6.0));
        assert!(frames.len() == 2 && frames[1].header.get("Lattice").is_none());
        for (bad, expected) in [
            ("1\n\nH 0 0 0\nVEC1 4 0 0\n", "1 of the lines VEC1"),
            ("1\n\nH 0 0 0\nVEC1 4 0\n", "three numbers after VEC1"),
            ("1\n\nH 0 0 0\nVEC2 4 0 0\n", "expected the number of atoms, found `VEC2 4 0 0`"),
        ] {
            let message = read(bad).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn numbers_and_truths_as_fortran_writes_them() {
        let text = "1\nProperties=species:S:1:pos:R:3:move:L:1 energy=-1.5D+02 pbc=\"t f .TRUE.\" Lattice=\"1 0 0 0 1 0 0 0 1\"\n\
                    H 0.25d-01 1D0 -2.5E1 f\n";
        let frame = read(text).unwrap().remove(0);
        assert_eq!(frame.column("pos").unwrap().as_vectors().unwrap(), [[0.025, 1.0, -25.0]]);
        assert_eq!(frame.header.get("energy").unwrap().number(), Some(-150.0));
        assert_eq!(frame.header.get("pbc").unwrap().booleans(), Some(vec![true, false, true]));
        assert_eq!(frame.column("move").unwrap().data, Data::Logical(vec![false]));
    }
}
