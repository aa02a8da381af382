//! The lines of an OUTCAR, one at a time.

use std::io::{self, BufRead, Read};

/// The longest line; what is longer is taken in pieces, of which none is a line that anything is read from.
const LONGEST: u64 = 1 << 16;

/// Lines and their numbers.
pub(super) struct Lines<R> {
    bytes: R,
    /// The number of the line, from 1; 0 before the first.
    pub(super) number: usize,
    /// The line, with its end.
    pub(super) text: String,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self { bytes, number: 0, text: String::new() }
    }

    /// Goes to the next line; false where there is none. A last line without an end is none: it may be cut within a
    /// number.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        let mut line = std::mem::take(&mut self.text).into_bytes();
        line.clear();
        let count = self.bytes.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        let whole = line.ends_with(b"\n") || count as u64 == LONGEST;
        self.number += usize::from(whole);
        // Names in an input file may be in any encoding.
        self.text = String::from_utf8(line).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_a_cut_one_is_none() {
        let mut lines = Lines::new(&b"one\n\xfc\r\n\nlast"[..]);
        let mut found = Vec::new();
        while lines.advance().unwrap() {
            found.push((lines.number, lines.text.trim().to_owned()));
        }
        assert_eq!(found, [(1, "one".to_owned()), (2, "\u{fffd}".to_owned()), (3, String::new())]);
        assert_eq!(lines.number, 3);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b'x').take(10 * LONGEST)));
        let mut count = 0;
        while lines.advance().unwrap() {
            assert!(lines.text.capacity() <= 2 * LONGEST as usize);
            count += 1;
        }
        assert_eq!(count, 10);
    }
}
