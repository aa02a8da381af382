//! Databases of ASE in SQLite, of versions 8 and 9: a row of the table `systems` for each configuration.
//!
//! | columns | what |
//! |---|---|
//! | `numbers`, `tags` | blobs of 4-byte integers |
//! | `positions`, `cell`, `initial_magmoms`, `initial_charges` | blobs of 8-byte reals; a cell of zeros is none |
//! | `forces`, `stress`, `dipole`, `magmoms`, `charges` | blobs of 8-byte reals |
//! | `pbc` | an integer with a bit for each direction, 1, 2 and 4 |
//! | `energy`, `free_energy`, `magmom` | reals |
//! | `constraints`, `key_value_pairs` | JSON |
//! | `data` | JSON in version 8; in version 9 a blob: where its JSON begins, arrays, JSON that says where those are |
//!
//! All bytes are the lowest first. A column that is null is not there. `natoms`, `fmax`, `smax`, `volume`, `mass` and
//! `charge` follow from others and are left out, as are external tables. Rows come in the order of their ids, which
//! have gaps where some were deleted.
//!
//! Traps. A calculator in single precision leaves a blob of 4-byte reals, which ASE itself reads as half as many
//! nonsensical ones: here it is an error. A file is opened as one that nobody writes to, so that it can lie in a folder
//! which is read-only; what a program has not yet written from a log beside it would be overlooked, so that such a log
//! is an error. Of a file that was cut within its last page, SQLite would read zeros: that is an error too.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, MAIN_DB, OpenFlags, Row};
use serde_json::Value;

use super::array::{Array, size_of};
use super::atoms::Atoms;
use super::json::parse;
use super::units::Declared;
use crate::formats::{Format, Frame, Frames, Input};
use crate::{Error, Result};

/// What files of SQLite begin with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The versions that are read.
const VERSIONS: std::ops::RangeInclusive<i64> = 8..=9;

/// How many bytes say how large the pages of a file are.
const START: u64 = 18;

/// What is read of a row, behind its id.
const COLUMNS: [&str; 20] = [
    "numbers",
    "positions",
    "cell",
    "pbc",
    "initial_magmoms",
    "initial_charges",
    "tags",
    "constraints",
    "unique_id",
    "calculator",
    "energy",
    "free_energy",
    "forces",
    "stress",
    "dipole",
    "magmoms",
    "magmom",
    "charges",
    "key_value_pairs",
    "data",
];

/// Those of them that are numbers of the atoms, or results of a calculator.
const PROPERTIES: [&str; 11] = [
    "initial_magmoms",
    "initial_charges",
    "tags",
    "energy",
    "free_energy",
    "forces",
    "stress",
    "dipole",
    "magmoms",
    "magmom",
    "charges",
];

/// Those of them that are one number, and no blob.
const SINGLE: [&str; 3] = ["energy", "free_energy", "magmom"];

/// Rows are read in portions of this many, or of fewer that have this many bytes.
const PORTION: (usize, usize) = (64, 1 << 20);

/// A database of ASE, in SQLite.
#[derive(Debug, Clone, Copy)]
pub struct Database;

impl Format for Database {
    fn name(&self) -> &'static str {
        "ase-db"
    }

    /// Any file of SQLite: the reader says best what is missing in it.
    fn recognises(&self, start: &[u8]) -> bool {
        start.starts_with(MAGIC)
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        Ok(Box::new(DatabaseReader::open(input.path()?)?))
    }
}

/// Iterates over the rows of a database. After an error the iterator ends.
pub struct DatabaseReader {
    connection: Connection,
    name: String,
    units: Declared,
    /// The last id that was read.
    last: i64,
    /// The position of the next frame.
    index: usize,
    /// Frames that were read before they were asked for.
    portion: VecDeque<Result<Frame, String>>,
    done: bool,
}

impl DatabaseReader {
    /// Opens a file, to read only, and as one to which nobody writes.
    ///
    /// # Errors
    /// [`Error::Path`] where the file is no database of ASE, is of a version that is not read, or is not complete: some of
    /// it is missing, or is still in a log beside it. [`Error::Io`] where it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        if let Some(log) = log_beside(path) {
            let remedy = "close what writes to it, or open it once with `sqlite3`, which writes the log into it";
            let message = format!("has a log beside it, {}, with what is not yet in it: {remedy}", log.display());
            return Err(Error::Path { path: path.to_owned(), message });
        }
        let file = File::open(path).map_err(Error::io(path, "read"))?;
        let length = file.metadata().map_err(Error::io(path, "read"))?.len();
        let mut start = Vec::new();
        file.take(START).read_to_end(&mut start).map_err(Error::io(path, "read"))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = || Connection::open_with_flags(uri(path), flags).map_err(damaged);
        Self::new(complete(&start, length).and_then(|()| opened()), name)
    }

    /// Reads from the bytes of a file, which are copied; `name` stands for the file in errors.
    ///
    /// # Errors
    /// As [`DatabaseReader::open`].
    pub fn of_bytes(bytes: &[u8], name: impl Into<String>) -> Result<Self> {
        let opened = || -> rusqlite::Result<Connection> {
            let mut connection = Connection::open_in_memory()?;
            connection.deserialize_read_exact(MAIN_DB, bytes, bytes.len(), true)?;
            Ok(connection)
        };
        let complete = complete(bytes, bytes.len() as u64);
        Self::new(complete.and_then(|()| opened().map_err(damaged)), name.into())
    }

    fn new(connection: Result<Connection, String>, name: String) -> Result<Self> {
        let opened = connection.and_then(|connection| {
            check(&connection)?;
            let units = Declared::of_metadata(&metadata(&connection)?)?;
            Ok((connection, units))
        });
        let (connection, units) = opened.map_err(|message| Error::Path { path: name.clone().into(), message })?;
        let (last, index, portion, done) = (i64::MIN, 0, VecDeque::new(), false);
        Ok(Self { connection, name, units, last, index, portion, done })
    }

    /// Reads the next rows, up to the first that is wrong.
    fn read_on(&mut self) -> Result<(), String> {
        let select = format!("SELECT rowid, {} FROM systems WHERE rowid > ?1 ORDER BY rowid", COLUMNS.join(", "));
        let mut statement = self.connection.prepare(&select).map_err(damaged)?;
        let mut rows = statement.query([self.last]).map_err(damaged)?;
        let mut bytes = 0;
        while self.portion.len() < PORTION.0 && bytes < PORTION.1 {
            let Some(row) = rows.next().map_err(damaged)? else { break };
            let id: i64 = row.get(0).map_err(damaged)?;
            // A damaged tree of pages could lead in circles.
            if id <= self.last {
                return Err(damaged(format!("row {id} follows row {}", self.last)));
            }
            self.last = id;
            let frame = frame(row, id, &self.units).map_err(|message| format!("row {id}: {message}"));
            let wrong = frame.is_err();
            self.portion.push_back(frame);
            if wrong {
                break;
            }
            bytes += size(row);
        }
        Ok(())
    }
}

impl Iterator for DatabaseReader {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.portion.is_empty() && !self.done {
            let read = self.read_on();
            self.portion.extend(read.err().map(Err));
        }
        let frame = if self.done { None } else { self.portion.pop_front() };
        self.done = !matches!(frame, Some(Ok(_)));
        let index = self.index;
        self.index += 1;
        let frame = frame?.map(|frame| Frame { index, ..frame });
        Some(frame.map_err(Error::frame(&self.name, 0, index)))
    }
}

/// What SQLite, or this reader, says about a file that it cannot make sense of.
fn damaged(error: impl std::fmt::Display) -> String {
    format!("cannot be read as a database of SQLite: {error}")
}

/// Checks that a file ends with a page. SQLite would read zeros in place of what was cut from its last one.
fn complete(start: &[u8], length: u64) -> Result<(), String> {
    let size = start.get(16..).and_then(|size| size.first_chunk()).map(|size| u64::from(u16::from_be_bytes(*size)));
    // The largest size does not fit into its two bytes.
    let size = size.map(|size| if size == 1 { 1 << 16 } else { size });
    match size.filter(|&size| size > 0) {
        Some(size) if length.is_multiple_of(size) => Ok(()),
        Some(size) => Err(format!("has {length} bytes, no multiple of its pages of {size}: is the file complete?")),
        None => Err(damaged("it ends within its head")),
    }
}

/// How SQLite is told of a file that nobody writes to. What has a meaning in such an address is written in hexadecimal.
fn uri(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    // Two slashes would begin the name of a machine.
    let mut uri = String::from(if bytes.starts_with(b"//") { "file://" } else { "file:" });
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri + "?immutable=1"
}

/// A log of changes beside a file that are not yet in it, or that have to be taken back.
fn log_beside(path: &Path) -> Option<PathBuf> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let (ahead, back) = (beside("-wal"), beside("-journal"));
    if ahead.metadata().is_ok_and(|file| file.len() > 0) {
        return Some(ahead);
    }
    // A journal that is done with is emptied, or begins with zeros.
    let mut start = [0; 8];
    let hot = File::open(&back).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start != [0; 8];
    hot.then_some(back)
}

/// Checks that this is a database of ASE, of a version that is read.
fn check(connection: &Connection) -> Result<(), String> {
    let names = |sql: &str| -> rusqlite::Result<BTreeSet<String>> {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    // Views and virtual tables have no page of their own.
    let tables = names("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0").map_err(damaged)?;
    if !tables.contains("systems") {
        let found: Vec<&str> = tables.iter().map(String::as_str).take(8).collect();
        let found = if found.is_empty() { "none".into() } else { found.join(", ") };
        return Err(format!("is a database of SQLite, but none of ASE: expected a table `systems`, found {found}"));
    }
    let version = version(connection, tables.contains("information"))?;
    if !VERSIONS.contains(&version) {
        let remedy =
            if version < *VERSIONS.start() { "`python3 -m ase.db.convert` rewrites it" } else { "it is too new" };
        return Err(format!("is a database of ASE of version {version}, expected 8 or 9: {remedy}"));
    }
    // Columns that are computed while they are read are none of ASE's; the pragma leaves them out.
    let mut columns = connection.prepare("PRAGMA table_info(systems)").map_err(damaged)?;
    let columns: rusqlite::Result<BTreeSet<String>> =
        columns.query_map([], |row| row.get(1)).and_then(|names| names.collect());
    let columns = columns.map_err(damaged)?;
    match COLUMNS.iter().find(|column| !columns.contains(**column)) {
        Some(missing) => Err(format!("is no database of ASE: its table `systems` has no column `{missing}`")),
        None => Ok(()),
    }
}

/// The version of a database: the oldest have no table that says it.
fn version(connection: &Connection, said: bool) -> Result<i64, String> {
    if !said {
        return Ok(2);
    }
    let found = information(connection, "version")?;
    let number = found.as_deref().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| format!("is no database of ASE: its version is {found:?}, expected 8 or 9"))
}

/// What a database says of itself.
fn metadata(connection: &Connection) -> Result<Value, String> {
    let text = information(connection, "metadata")?;
    text.map_or(Ok(Value::Null), |text| parse(text.as_bytes()).map_err(|message| format!("its metadata {message}")))
}

fn information(connection: &Connection, name: &str) -> Result<Option<String>, String> {
    let select = "SELECT CAST(value AS TEXT) FROM information WHERE name = ?1 LIMIT 1";
    let mut statement = connection.prepare(select).map_err(damaged)?;
    let mut rows = statement.query([name]).map_err(damaged)?;
    rows.next().map_err(damaged)?.map_or(Ok(None), |row| row.get(0).map_err(damaged))
}

/// A column of a row.
fn cell<'a>(row: &'a Row<'_>, name: &str) -> Result<ValueRef<'a>, String> {
    let index = COLUMNS.iter().position(|column| *column == name);
    let value = index.and_then(|index| row.get_ref(index + 1).ok());
    value.ok_or_else(|| format!("no column `{name}`"))
}

/// How many bytes of text and blobs a row has.
fn size(row: &Row<'_>) -> usize {
    let of = |name: &&str| match cell(row, name) {
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => bytes.len(),
        _ => 0,
    };
    COLUMNS.iter().map(of).sum()
}

fn frame(row: &Row<'_>, id: i64, units: &Declared) -> Result<Frame, String> {
    let needed = |name| numbers(row, name)?.ok_or_else(|| format!("`{name}` is null"));
    let lengths = |array: Array| match units.of_lengths() {
        Some(factor) => array.times(factor),
        None => array,
    };
    let mut atoms = Atoms::new(needed("numbers")?, lengths(needed("positions")?))?;
    atoms.put_in_cell(numbers(row, "cell")?.map(lengths), periodic(cell(row, "pbc")?)?)?;
    for name in PROPERTIES {
        if let Some(array) = numbers(row, name)? {
            atoms.property(name, array).map_err(|message| format!("{message}, of {}", dtype(name)))?;
        }
    }
    atoms.note("row", "id", &id.into(), &[])?;
    for name in ["unique_id", "calculator"] {
        atoms.note("row", name, &text(row, name)?.map_or(Value::Null, Value::from), &[])?;
    }
    atoms.constrain(&json(row, "constraints")?)?;
    atoms.notes("key_value_pairs", &json(row, "key_value_pairs")?, &[])?;
    let (data, bytes) = data(row)?;
    add_data(&mut atoms, &data, bytes, units)?;
    Ok(atoms.into_frame())
}

/// Adds notes whose units the database may have declared.
fn add_data(atoms: &mut Atoms, data: &Value, bytes: &[u8], units: &Declared) -> Result<(), String> {
    let Some(entries) = data.as_object() else { return atoms.notes("data", data, bytes) };
    for (name, note) in entries {
        let array = match units.of_note(name) {
            Some(factor) => {
                let array = Array::of_json(note, bytes).map_err(|message| format!("`data.{name}`: {message}"))?;
                array.map(|array| array.times(factor))
            }
            None => None,
        };
        match array {
            Some(array) => atoms.array_note("data", name, array),
            None => atoms.note("data", name, note, bytes)?,
        }
    }
    Ok(())
}

/// The type of the numbers in a blob.
fn dtype(name: &str) -> &'static str {
    if matches!(name, "numbers" | "tags") { "int32" } else { "float64" }
}

/// The numbers of a column, one after the other.
fn numbers(row: &Row<'_>, name: &str) -> Result<Option<Array>, String> {
    let single = SINGLE.contains(&name);
    match cell(row, name)? {
        ValueRef::Null => Ok(None),
        ValueRef::Real(number) if single => Ok(Some(Array::number(number))),
        ValueRef::Integer(number) if single => Ok(Some(Array::number(number as f64))),
        // One of NumPy's numbers that SQLite was given as bytes, of a type that nothing tells.
        ValueRef::Blob(_) if name == "magmom" => Ok(None),
        ValueRef::Blob(bytes) if !single => {
            let size = size_of(dtype(name)).unwrap_or(1);
            let array = if bytes.len().is_multiple_of(size) {
                Array::of_bytes(dtype(name), vec![bytes.len() / size], bytes, true)
            } else {
                None
            };
            array
                .map(Some)
                .ok_or_else(|| format!("`{name}` has {} bytes, expected {} numbers", bytes.len(), dtype(name)))
        }
        other => Err(format!("`{name}` is of type {}, expected numbers", other.data_type())),
    }
}

/// Which directions repeat.
fn periodic(bits: ValueRef<'_>) -> Result<[bool; 3], String> {
    match bits {
        ValueRef::Null => Ok([false; 3]),
        ValueRef::Integer(bits) if (0..8).contains(&bits) => Ok([1, 2, 4].map(|bit| bits & bit != 0)),
        ValueRef::Integer(bits) => Err(format!("`pbc` is {bits}, expected three bits")),
        other => Err(format!("`pbc` is of type {}, expected an integer", other.data_type())),
    }
}

fn text<'a>(row: &'a Row<'_>, name: &str) -> Result<Option<&'a str>, String> {
    match cell(row, name)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| format!("`{name}` is no text")),
        other => Err(format!("`{name}` is of type {}, expected text", other.data_type())),
    }
}

fn json(row: &Row<'_>, name: &str) -> Result<Value, String> {
    let text = text(row, name)?;
    let value = text.filter(|text| !text.is_empty()).map_or(Ok(Value::Null), |text| parse(text.as_bytes()));
    value.map_err(|message| format!("`{name}` {message}"))
}

/// What is in `data`, and the bytes among which its arrays lie.
fn data<'a>(row: &'a Row<'_>) -> Result<(Value, &'a [u8]), String> {
    let ValueRef::Blob(bytes) = cell(row, "data")? else { return Ok((json(row, "data")?, &[])) };
    let start = bytes.first_chunk().and_then(|start| usize::try_from(u64::from_le_bytes(*start)).ok());
    let text = start.and_then(|start| bytes.get(start..));
    let text = text.ok_or_else(|| format!("`data` of {} bytes: its JSON begins behind them", bytes.len()))?;
    Ok((parse(text).map_err(|message| format!("`data` {message}"))?, bytes))
}
