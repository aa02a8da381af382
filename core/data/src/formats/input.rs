//! What a format reads: the bytes of a file, decompressed, and where they lie.

use std::io::{self, BufRead, Cursor, Read};
use std::path::{Path, PathBuf};

use crate::compressed::unpacked;
use crate::{Error, Result};

/// How many bytes a format is recognised by.
const START: u64 = 4096;

/// A file, a folder, or bytes from elsewhere, with a name that stands in errors.
pub struct Input<'a> {
    name: String,
    /// Of a plain file or a folder.
    path: Option<PathBuf>,
    bytes: Box<dyn BufRead + Send + 'a>,
}

impl Input<'static> {
    /// A file, which may be compressed.
    ///
    /// # Errors
    /// As [`open`](crate::open).
    pub fn open(path: &Path) -> Result<Self> {
        let (bytes, packed) = unpacked(path)?;
        Ok(Self { name: path.display().to_string(), path: (!packed).then(|| path.to_owned()), bytes })
    }

    /// A folder, or a file that a format opens by itself: without bytes.
    pub(super) fn at(path: &Path) -> Self {
        Self { name: path.display().to_string(), path: Some(path.to_owned()), bytes: Box::new(io::empty()) }
    }
}

impl<'a> Input<'a> {
    /// Bytes; `name` stands for the file in errors.
    pub fn new(bytes: impl BufRead + Send + 'a, name: impl Into<String>) -> Self {
        Self { name: name.into(), path: None, bytes: Box::new(bytes) }
    }

    /// What stands for it in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies, for formats that are read here and there, or that have several files.
    ///
    /// # Errors
    /// [`Error::Path`] where there is no plain file: it is compressed, or was not read from a file.
    pub fn path(&self) -> Result<&Path> {
        let message = "is compressed, or no file; expected a plain file that can be read here and there: decompress it";
        self.path.as_deref().ok_or_else(|| Error::Path { path: self.name.clone().into(), message: message.into() })
    }

    /// Its bytes, decompressed, from the first one on; a folder has none.
    pub fn into_bytes(self) -> Box<dyn BufRead + Send + 'a> {
        self.bytes
    }

    /// The first bytes, and the same input again. An error among them is met again by whoever reads on.
    pub(super) fn start(mut self) -> (Vec<u8>, Self) {
        let mut start = Vec::new();
        let error = self.bytes.by_ref().take(START).read_to_end(&mut start).err();
        let bytes = Box::new(Cursor::new(start.clone()).chain(Rest { error, bytes: self.bytes }));
        (start, Self { bytes, ..self })
    }
}

/// What follows the first bytes: the error that ended them, if one did, and all others.
struct Rest<R> {
    error: Option<io::Error>,
    bytes: R,
}

impl<R: BufRead> Read for Rest<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.error.take().map_or_else(|| self.bytes.read(buffer), Err)
    }
}

impl<R: BufRead> BufRead for Rest<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.bytes.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        self.bytes.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// Bytes, and then an error.
    struct Broken(usize);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.min(buffer.len());
            self.0 -= count;
            buffer[..count].fill(b'x');
            if count == 0 { Err(io::Error::other("broken")) } else { Ok(count) }
        }
    }

    #[test]
    fn looking_at_the_start_changes_nothing_of_what_is_read() {
        let text = "a line\n".repeat(2000);
        let (start, input) = Input::new(text.as_bytes(), "t").start();
        assert_eq!(start, &text.as_bytes()[..4096]);
        let lines: Vec<String> = input.into_bytes().lines().collect::<Result<_, _>>().unwrap();
        assert!(lines.len() == 2000 && lines.iter().all(|line| line == "a line"));
        for length in [0, 100, 4096, 10_000] {
            let (start, input) = Input::new(BufReader::new(Broken(length)), "t").start();
            assert_eq!(start.len(), length.min(4096));
            let (mut bytes, mut read) = (input.into_bytes(), Vec::new());
            assert_eq!(bytes.read_to_end(&mut read).unwrap_err().to_string(), "broken");
            assert_eq!(read.len(), length);
        }
    }

    #[test]
    fn only_plain_files_have_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, packed] = ["plain", "packed"].map(|name| folder.path().join(name));
        std::fs::write(&plain, "text").unwrap();
        std::fs::write(&packed, zstd::encode_all(&b"text"[..], 3).unwrap()).unwrap();
        assert_eq!(Input::open(&plain).unwrap().start().1.path().unwrap(), plain);
        let message = Input::open(&packed).unwrap().path().unwrap_err().to_string();
        assert!(message.contains("packed: is compressed") && message.contains("decompress it"), "{message}");
    }
}
