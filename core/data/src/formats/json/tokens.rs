//! What Python writes and JSON does not know: `NaN`, `Infinity`, `-Infinity`, and a byte-order mark in front. They
//! become JSON of the same length as the bytes pass through, so that places in the file remain what they are.

use std::io::{self, ErrorKind, Read};

/// UTF-8 marked as such.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The string that `NaN` becomes: a control character, which stands for no number that anyone has written.
pub(super) const NAN: &str = "\u{7f}";

/// Words that become JSON, and what they become: the second is above all 64-bit numbers, and is read as infinite.
const WORDS: [(&[u8], &[u8]); 2] = [(b"NaN", b"\"\x7f\""), (b"Infinity", b"1e999999")];

/// A stream of JSON.
pub(super) struct Tokens<R> {
    bytes: R,
    state: State,
    /// The last byte outside strings.
    last: u8,
}

#[derive(Clone, Copy)]
enum State {
    /// In the byte-order mark, if there is one, after this many bytes.
    Start(usize),
    /// Between strings.
    Outside,
    /// In a string.
    Text,
    /// In a string, after a backslash.
    Escape,
    /// In one of [`WORDS`], after this many bytes.
    Word(usize, usize),
}

impl<R> Tokens<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self { bytes, state: State::Start(0), last: b' ' }
    }

    /// What stands for a byte of the file.
    fn translate(&mut self, byte: u8) -> io::Result<u8> {
        match (self.state, byte) {
            (State::Text, b'"') => self.state = State::Outside,
            (State::Text, b'\\') => self.state = State::Escape,
            (State::Text, _) => {}
            (State::Escape, _) => self.state = State::Text,
            (State::Outside, b'"') => (self.state, self.last) = (State::Text, byte),
            (State::Outside, b'N') => return self.word(0, 0, byte),
            (State::Outside, b'I') => return self.word(1, 0, byte),
            (State::Outside, _) => self.last = byte,
            (State::Word(word, at), _) => return self.word(word, at, byte),
            (State::Start(at), _) if BYTE_ORDER_MARK.get(at) == Some(&byte) => {
                self.state = State::Start(at + 1);
                return Ok(b' ');
            }
            (State::Start(_), _) => {
                self.state = State::Outside;
                return self.translate(byte);
            }
        }
        Ok(byte)
    }

    fn word(&mut self, word: usize, at: usize, byte: u8) -> io::Result<u8> {
        let (written, meant) = WORDS[word];
        // Else `1Infinity` would be a number.
        let begins = at > 0 || matches!(self.last, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b'[' | b'-');
        if written[at] != byte || !begins {
            let message =
                format!("`{}` is no JSON, expected {}", byte.escape_ascii(), String::from_utf8_lossy(written));
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }
        (self.state, self.last) =
            (if at + 1 < written.len() { State::Word(word, at + 1) } else { State::Outside }, byte);
        Ok(meant[at])
    }
}

impl<R: Read> Read for Tokens<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        for byte in &mut buffer[..count] {
            *byte = self.translate(*byte)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads three bytes at a time, so that words are cut.
    fn translated(text: &str) -> io::Result<String> {
        let mut tokens = Tokens::new(text.as_bytes());
        let (mut all, mut three) = (Vec::new(), [0; 3]);
        loop {
            match tokens.read(&mut three)? {
                0 => return Ok(String::from_utf8(all).unwrap()),
                count => all.extend_from_slice(&three[..count]),
            }
        }
    }

    #[test]
    fn words_outside_strings_become_json_of_the_same_length() {
        for (written, meant) in [
            ("[NaN, NaN]", "[\"\u{7f}\", \"\u{7f}\"]"),
            ("{\"a\":Infinity,\"b\":-Infinity}", "{\"a\":1e999999,\"b\":-1e999999}"),
            (r#"["NaN", "\"NaN", "\\", NaN]"#, "[\"NaN\", \"\\\"NaN\", \"\\\\\", \"\u{7f}\"]"),
            ("\u{feff}[NaN]", "   [\"\u{7f}\"]"),
            ("[\"\u{feff}\"]", "[\"\u{feff}\"]"),
        ] {
            assert_eq!(translated(written).unwrap(), meant);
        }
        assert_eq!("1e999999".parse(), Ok(f64::INFINITY));
    }

    #[test]
    fn what_resembles_a_word_is_no_word() {
        for text in ["[Nan]", "[Infinite]", "[1NaN]", "[1Infinity]", "[NaNNaN]", "[\"a\"NaN]", "[1.Infinity]"] {
            assert!(translated(text).unwrap_err().to_string().contains("is no JSON, expected"), "{text}");
        }
    }
}
