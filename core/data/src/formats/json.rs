//! JSON as data sets of crystals are published: objects with a pymatgen structure and its labels, read as a stream in
//! the memory of one structure, however long the file.
//!
//! A file's keys say which layout it has, never its name: [MPtrj](mptrj), [MatPES](matpes), [Alexandria](alexandria) or
//! [mlearn], a module each. Anything else is an error with the keys that were found: labels without a known
//! unit would be worse. All four are of VASP calculations: eV, angstrom, eV/angstrom, and stresses in kbar with
//! compression positive, which become eV/angstrom^3 with tension positive.
//!
//! Beyond the standard, `NaN`, `Infinity` and a byte-order mark are read, which Python writes; a file may have several
//! values one after the other (JSON Lines). A label that is `null` is left out of its frame.

mod alexandria;
mod document;
mod labels;
mod layout;
mod matpes;
mod mlearn;
mod mptrj;
mod record;
mod structure;
mod tokens;
mod walk;

use std::io::Read;

use self::layout::Fault;
use self::walk::Walk;
use super::{Format, Frame, Frames, Input};
use crate::{Error, Result};

/// The units of all layouts.
const UNITS: &str = "eV, angstrom and kbar";

/// JSON with pymatgen structures, in the layout of MPtrj, MatPES, Alexandria or mlearn, which a file's keys tell apart.
///
/// Total energies without corrections are under `energy`, forces in a column `forces`, stresses under `stress`; other
/// labels and ids have the file's names, so that `corrected_total_energy` can be asked for, or `mp_id` be a group.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    /// An object or a list, as far as the first bytes say.
    fn recognises(&self, start: &[u8]) -> bool {
        let text = start.strip_prefix(tokens::BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
        let inner = |rest: &[u8]| rest.trim_ascii_start().first().copied();
        match text {
            [b'{', rest @ ..] => matches!(inner(rest), None | Some(b'"' | b'}')),
            [b'[', rest @ ..] => inner(rest).is_none_or(|byte| b"{[]\"-0123456789ntfNI".contains(&byte)),
            _ => false,
        }
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let name = input.name().to_owned();
        Ok(Box::new(FrameReader { walk: Walk::new(input.into_bytes()), name, index: 0, done: false }))
    }
}

/// Iterates over the frames of a stream of JSON.
///
/// After an error the iterator ends: what follows damaged JSON cannot be told.
struct FrameReader<R: Read> {
    walk: Walk<R>,
    name: String,
    index: usize,
    done: bool,
}

impl<R: Read> FrameReader<R> {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let found = self.walk.next_record().map_err(|fault| self.error(self.walk.line(), fault))?;
        let Some((place, record)) = found else { return Ok(None) };
        let line = record.line();
        let frame = layout::frame(&place, record).map_err(|fault| self.error(line, fault))?;
        let index = self.index;
        self.index += 1;
        Ok(Some(Frame { line, header_line: line, index, converted_from: Some(UNITS), ..frame }))
    }

    /// A layout that is not known is a fault of the file, if not a single frame of it was read.
    fn error(&self, line: usize, fault: Fault) -> Error {
        match fault {
            Fault::Layout(message) if self.index == 0 => Error::Path { path: self.name.clone().into(), message },
            Fault::Layout(message) | Fault::Frame(message) => Error::frame(&self.name, line, self.index)(message),
        }
    }
}

impl<R: Read> Iterator for FrameReader<R> {
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

    #[test]
    fn objects_and_lists_are_recognised_and_text_with_brackets_is_not() {
        for start in ["{\"a\"", " \r\n\t{}", "{", "[", "[{", "[]", "[ 1", "[NaN]", "\u{feff}{\"", "[true]"] {
            assert!(Json.recognises(start.as_bytes()), "{start}");
        }
        for start in ["", "2\n{\"a\": 1}\n", "{a: 1}", "[General]", "{1}", "\"a\"", "1", "\u{feff}", "\0{\"a\"", "[\0"]
        {
            assert!(!Json.recognises(start.as_bytes()), "{start}");
        }
    }
}
