//! LMDB databases, of two kinds:
//!
//! - Graphs of fairchem 1 (OC20, OC22): under the keys `0` to `n - 1` pickled `Data` of PyTorch Geometric, and under
//!   `length` the pickled `n`; without it, `n` is the number of entries.
//! - Rows of ASE as fairchem 2 has them (OMat24, OMol25, OC25, ODAC25): under the keys `1`, `2` and so on the JSON of a row,
//!   compressed with zlib, and so under `nextid` the id that comes next, and under `deleted_ids` those that are gone.
//!
//! Keys are decimal numbers in ASCII, which a database sorts as text (`1`, `10`, `2`): the frames come in the order of the
//! numbers. A set in several files is a folder of them, in the order of their names, which counts frames through.
//!
//! The database is read by code of our own, in place of the C library, which trusts what a file says and crashes on a
//! damaged one; pickles are read as inert data, and nothing in them is run. A frame at a time is in memory, and some 4 MiB
//! of pages.

mod array;
mod graph;
mod pages;
mod pickle;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;

use super::ase::row;
use super::{Format, Frame, Frames, Input};
use crate::{Error, Result};
use array::Array;
use pages::Database;
use pickle::Pickle;

/// The most bytes of a row's JSON; above, its compression is taken for an attack.
const MOST_JSON: u64 = 64 << 20;

/// LMDB: pickled graphs of PyTorch Geometric, and rows of ASE.
#[derive(Debug, Clone, Copy)]
pub struct Lmdb;

impl Format for Lmdb {
    fn name(&self) -> &'static str {
        "lmdb"
    }

    fn recognises(&self, start: &[u8]) -> bool {
        pages::recognises(start)
    }

    /// A folder with files that end in `.lmdb` or `.aselmdb`, or with the `data.mdb` of LMDB itself.
    fn recognises_folder(&self, folder: &Path) -> bool {
        databases_in(folder).is_ok_and(|files| !files.is_empty())
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let path = input.path()?;
        if path.is_dir() {
            let files = databases_in(path).map_err(Error::io(path, "read"))?;
            return Ok(Box::new(Files { files: files.into_iter(), open: None, index: 0 }));
        }
        Ok(Box::new(open(path)?))
    }
}

fn open(path: &Path) -> Result<FrameReader<File>> {
    FrameReader::new(File::open(path).map_err(Error::io(path, "read"))?, path.display().to_string())
}

/// The databases of a folder, in the order of their names.
fn databases_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_one = |path: &PathBuf| {
        let ending = path.extension().is_some_and(|ending| ending == "lmdb" || ending == "aselmdb");
        (ending || path.file_name().is_some_and(|name| name == "data.mdb")) && path.is_file()
    };
    let paths = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = paths.filter(|path| path.as_ref().map_or(true, is_one)).collect::<Result<_, _>>()?;
    files.sort();
    Ok(files)
}

/// Iterates over the frames of files, of which one is open at a time.
struct Files {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<FrameReader<File>>,
    /// Frames so far.
    index: usize,
}

impl Files {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.open.as_mut().and_then(Iterator::next) {
                self.index += 1;
                return frame.map(Some);
            }
            let Some(path) = self.files.next() else { return Ok(None) };
            self.open = Some(FrameReader { index: self.index, ..open(&path)? });
        }
    }
}

impl Iterator for Files {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.next_frame().transpose();
        if matches!(frame, Some(Err(_))) {
            (self.files, self.open) = (Vec::new().into_iter(), None);
        }
        frame
    }
}

/// Iterates over the frames of a database, in the order of its keys as numbers.
///
/// After an error the iterator ends.
pub struct FrameReader<R> {
    database: Database<R>,
    name: String,
    entries: Entries,
    index: usize,
}

/// The keys that are to come.
enum Entries {
    Graphs(Range<u64>),
    Rows { ids: Range<u64>, deleted: HashSet<u64> },
    None,
}

impl<R: Read + Seek> FrameReader<R> {
    /// Reads a database; `name` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::Path`] where it is no database, or none of graphs or rows.
    pub fn new(source: R, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let opened = Database::open(source).and_then(|mut database| Ok((entries(&mut database)?, database)));
        match opened {
            Ok((entries, database)) => Ok(Self { database, name, entries, index: 0 }),
            Err(message) => Err(Error::Path { path: name.into(), message }),
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, String> {
        let key = match &mut self.entries {
            Entries::Graphs(keys) => keys.next(),
            Entries::Rows { ids, deleted } => ids.find(|id| !deleted.contains(id)),
            Entries::None => None,
        };
        let Some(key) = key else { return Ok(None) };
        let read = if matches!(self.entries, Entries::Graphs(_)) { graph_frame } else { row_frame };
        let value = self.database.get(key.to_string().as_bytes());
        let value = value.and_then(|value| value.ok_or("is not there: is the database complete?".into()));
        let frame = value.and_then(|value| read(&value)).map_err(|message| format!("key `{key}`: {message}"))?;
        Ok(Some(Frame { index: self.index, ..frame }))
    }
}

impl<R: Read + Seek> Iterator for FrameReader<R> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.next_frame().map_err(|message| {
            self.entries = Entries::None;
            Error::frame(&self.name, 0, self.index)(message)
        });
        self.index += 1;
        frame.transpose()
    }
}

/// The frame that a pickled graph of PyTorch Geometric is, which is the value of a key.
///
/// # Errors
/// What cannot be understood in it, and what was expected.
pub fn graph_frame(value: &[u8]) -> Result<Frame, String> {
    graph::frame(value)
}

/// What kind of database it is, and the keys of its frames.
fn entries<R: Read + Seek>(database: &mut Database<R>) -> Result<Entries, String> {
    let entries = if let Some(next) = database.get(b"nextid")? {
        let next = json(&next).and_then(|next| next.as_u64().ok_or("is no whole number".into()));
        let next = next.map_err(|message| format!("key `nextid`: {message}"))?;
        let deleted = database.get(b"deleted_ids")?.map_or(Ok(HashSet::new()), |ids| deleted(&ids));
        let deleted = deleted.map_err(|message| format!("key `deleted_ids`: {message}"))?;
        Entries::Rows { ids: 1..next.max(1), deleted }
    } else if let Some(length) = database.get(b"length")? {
        Entries::Graphs(0..count(&length).map_err(|message| format!("key `length`: {message}"))?)
    } else if database.get(b"0")?.is_some() {
        Entries::Graphs(0..database.entries())
    } else if database.entries() == 0 {
        Entries::None
    } else {
        return Err(format!(
            "has the keys {} and so on, expected `0`, `1` and so on (graphs of fairchem 1) or `nextid` (rows of ASE)",
            database.first_keys(3)?.join(", ")
        ));
    };
    complete(database, &entries)?;
    Ok(entries)
}

/// Looks at both ends whether the database has as many keys as it says.
fn complete<R: Read + Seek>(database: &mut Database<R>, entries: &Entries) -> Result<(), String> {
    let (keys, count, last_deleted) = match entries {
        Entries::Graphs(keys) => (keys, "`length`, or without it the number of entries,", false),
        Entries::Rows { ids, deleted } => (ids, "`nextid`", deleted.contains(&ids.end.saturating_sub(1))),
        Entries::None => return Ok(()),
    };
    if database.get(keys.end.to_string().as_bytes())?.is_some() {
        return Err(format!("has a key `{0}`, but {count} says {0}", keys.end));
    }
    let last = keys.end.checked_sub(1).filter(|last| keys.contains(last) && !last_deleted);
    match last {
        Some(last) if database.get(last.to_string().as_bytes())?.is_none() => {
            Err(format!("has no key `{last}`, but {count} says {}", keys.end))
        }
        _ => Ok(()),
    }
}

/// A pickled count, of Python or of NumPy.
fn count(value: &[u8]) -> Result<u64, String> {
    let pickle = Pickle::read(value)?;
    let number = Array::of(&pickle, pickle.root())?.filter(|array| array.len() == 1);
    let number = number.and_then(|array| array.numbers().first().and_then(|number| number.whole()));
    number.and_then(|number| u64::try_from(number).ok()).ok_or_else(|| "is no count".into())
}

fn deleted(ids: &[u8]) -> Result<HashSet<u64>, String> {
    let ids = json(ids)?;
    let ids = ids.as_array().ok_or("is no list")?;
    ids.iter().map(|id| id.as_u64().ok_or_else(|| format!("has {id}, expected whole numbers"))).collect()
}

fn row_frame(value: &[u8]) -> Result<Frame, String> {
    row::frame(&json(value)?)
}

/// JSON that is compressed with zlib.
fn json(value: &[u8]) -> Result<serde_json::Value, String> {
    let mut text = Vec::new();
    let read = ZlibDecoder::new(value).take(MOST_JSON + 1).read_to_end(&mut text);
    read.map_err(|error| format!("cannot be decompressed with zlib: {error}"))?;
    if text.len() as u64 > MOST_JSON {
        return Err(format!("decompresses to more than {} MiB", MOST_JSON >> 20));
    }
    row::parse(&text)
}
