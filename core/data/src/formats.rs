//! File formats: each module knows how a format is written, and nothing of what its numbers mean. A format yields
//! [`Frame`]s of what it is given, and [`Formats`] are those that a program can read.

pub mod ase;
pub mod extxyz;
mod frame;
pub mod hdf5;
mod header;
mod input;
mod json;
pub mod lmdb;
pub mod numpy;
pub mod oc20;
pub mod parquet;
mod paths;
pub mod vasp;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use ase::{Database, Trajectory};
pub use extxyz::ExtXyz;
pub use frame::{Column, Data, Frame, elements_of};
pub use hdf5::Hdf5;
pub use header::{Header, Value};
pub use input::Input;
pub use json::Json;
pub use lmdb::Lmdb;
pub use numpy::{DeepMd, Npz};
pub use oc20::Oc20;
pub use parquet::Parquet;
pub use paths::Inputs;
pub use vasp::{Outcar, VaspRun};

use crate::{Error, Result};

/// The frames of an input, one after the other.
pub type Frames<'a> = Box<dyn Iterator<Item = Result<Frame>> + Send + 'a>;

/// A way to write structures down: in a stream of bytes, in a file that is read here and there, or in a folder.
pub trait Format: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Whether a file is of this format, by its first bytes: up to 4096, after decompression.
    fn recognises(&self, start: &[u8]) -> bool;

    /// Whether a folder is of this format. None is, unless the format says so.
    fn recognises_folder(&self, _folder: &Path) -> bool {
        false
    }

    /// Whether a file is of this format by what lies beside it, which is asked before its content is. None is, unless the format
    /// says so.
    fn recognises_file(&self, _path: &Path) -> bool {
        false
    }

    /// The frames of an input that the format has recognised: of its [bytes](Input::into_bytes), or of the file or folder at
    /// its [path](Input::path).
    ///
    /// # Errors
    /// What is wrong with the input as a whole; what is wrong with a frame is an item, [`Error::Frame`].
    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>>;
}

/// Formats that a program can read. The one that recognises an input reads it; one that was added later is asked earlier.
#[derive(Clone)]
pub struct Formats {
    /// In the order in which they are asked.
    list: Vec<Arc<dyn Format>>,
}

impl fmt::Debug for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Formats {
    /// Extended XYZ alone.
    pub fn extended_xyz() -> Self {
        Self { list: Vec::new() }.with(ExtXyz)
    }

    /// The same and one more, which replaces any of its name.
    #[must_use]
    pub fn with(mut self, format: impl Format + 'static) -> Self {
        self.list.retain(|own| own.name() != format.name());
        self.list.insert(0, Arc::new(format));
        self
    }

    /// Their names, in the order in which they are asked.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.list.iter().map(|format| format.name())
    }

    /// Streams the frames of a file, which may be compressed, or of a folder.
    ///
    /// # Errors
    /// As [`Input::open`] and [`Formats::read`].
    pub fn open(&self, path: &Path) -> Result<Frames<'static>> {
        let whole = if path.is_dir() { self.of_folder(path) } else { self.of_file(path) };
        match whole {
            Some(format) => format.frames(Input::at(path)),
            None => self.read(Input::open(path)?),
        }
    }

    /// The format that knows a file by what lies beside it, if there is one.
    fn of_file(&self, path: &Path) -> Option<&dyn Format> {
        let format = self.list.iter().find(|format| format.recognises_file(path))?;
        Some(&**format)
    }

    /// The format that reads a folder as a whole, if it is a folder and there is one.
    fn of_folder(&self, path: &Path) -> Option<&dyn Format> {
        let format = self.list.iter().find(|format| path.is_dir() && format.recognises_folder(path))?;
        Some(&**format)
    }

    /// Streams the frames of an input.
    ///
    /// # Errors
    /// [`Error::Path`] where no format recognises it, and what the format has to say.
    pub fn read<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let (start, input) = input.start();
        match self.list.iter().find(|format| format.recognises(&start)) {
            Some(format) => format.frames(input),
            None => {
                let known: Vec<&str> = self.names().collect();
                let message = format!("is of no known format, expected one of {}", known.join(", "));
                Err(Error::Path { path: input.name().into(), message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;

    /// A folder with a file per frame, or a file that begins with a word: what is in it is a number of atoms.
    struct Counts(&'static str);

    fn frame(index: usize, text: &str) -> Result<Frame> {
        Ok(Frame { atoms: text.trim().parse().unwrap(), index, ..Frame::default() })
    }

    impl Format for Counts {
        fn name(&self) -> &'static str {
            "counts"
        }
        fn recognises(&self, start: &[u8]) -> bool {
            start.starts_with(self.0.as_bytes())
        }
        fn recognises_folder(&self, folder: &Path) -> bool {
            folder.join("0").exists()
        }
        fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
            if let Ok(folder) = input.path().map(Path::to_owned)
                && folder.is_dir()
            {
                let text = move |index: usize| std::fs::read_to_string(folder.join(index.to_string())).ok();
                return Ok(Box::new((0..).map_while(text).enumerate().map(|(index, text)| frame(index, &text))));
            }
            let lines = input.into_bytes().lines().skip(1).map(Result::unwrap);
            Ok(Box::new(lines.enumerate().map(|(index, line)| frame(index, &line))))
        }
    }

    fn atoms(frames: Frames<'_>) -> Vec<usize> {
        frames.map(|frame| frame.unwrap().atoms).collect()
    }

    #[test]
    fn the_content_decides_and_extended_xyz_is_what_nothing_else_is() {
        let formats = Formats::default().with(Counts("counts"));
        assert_eq!(
            format!("{formats:?}"),
            r#"["counts", "store", "hdf5", "lmdb", "ase-traj", "ase-db", "deepmd", "npz", "parquet", "json", "vasprun", "outcar", "oc20", "extxyz"]"#
        );
        let read = |text: &'static str| formats.read(Input::new(text.as_bytes(), "t")).unwrap();
        assert_eq!(atoms(read("counts\n3\n4\n")), [3, 4]);
        assert_eq!(atoms(read("1\n\nH 0 0 0\n")), [1]);
        assert!(atoms(read("")).is_empty());
        let message = read("no format").next().unwrap().unwrap_err().to_string();
        assert_eq!(message, "t:1: frame 0: expected the number of atoms, found `no format`");
        // One of the same name replaces the other.
        let formats = formats.with(Counts("# counts"));
        assert_eq!(formats.names().filter(|name| *name == "counts").count(), 1);
        assert!(formats.read(Input::new("counts\n3\n".as_bytes(), "t")).unwrap().next().unwrap().is_err());
    }

    #[test]
    fn folders_are_read_by_the_format_that_recognises_them() {
        let folder = tempfile::tempdir().unwrap();
        let message = |formats: &Formats| formats.open(folder.path()).err().unwrap().to_string();
        let formats = Formats::default().with(Counts("counts"));
        assert!(message(&formats).ends_with("is a directory; expected a structure file"));
        std::fs::write(folder.path().join("0"), "3").unwrap();
        std::fs::write(folder.path().join("1"), "5").unwrap();
        assert_eq!(atoms(formats.open(folder.path()).unwrap()), [3, 5]);
        assert!(message(&Formats::default()).ends_with("is a directory; expected a structure file"));
    }
}
