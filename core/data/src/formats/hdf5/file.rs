//! HDF5 as such: groups, data sets, and rows of data sets as numbers, of a file or of bytes.
//!
//! What a file claims is checked against its length before room is made for it, and what would be read as zeros without
//! a word is an error: a data set that was never written, a link to another file, a file that was cut short.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use hdf5_reader::error::{Error, Result as Hdf5Result};
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::storage::DynStorage;
use hdf5_reader::{
    BlockCacheStorage, BytesStorage, Dataset, Datatype, ExternalLinkResolver, FileStorage, H5Type, Hdf5File,
    OpenOptions, SliceInfo, SliceInfoElem, Storage, StorageBuffer,
};

use super::links::check_links;

/// Bytes that are read at once where fewer are asked for.
const BLOCK: usize = 1 << 14;

/// How many blocks are kept.
const BLOCKS: usize = 256;

/// The most bytes that one header, or one read of a data set, may take. Real ones take less than a tenth.
const MOST_OF_HEADER: usize = 1 << 22;
const MOST_OF_READ: usize = 1 << 27;

/// The most that deflate, the strongest of the usual filters, makes of a byte.
const LARGEST_RATIO: u64 = 1032;

/// How many objects are met before the file is opened afresh, at least.
const OBJECTS: usize = 4096;

/// An open file.
pub(super) struct File {
    storage: DynStorage,
    file: Hdf5File,
    /// Objects met since the file was opened. The library keeps what it knows of each.
    met: usize,
    /// How many may be met before it is opened afresh: more where its root is long, which is then read again.
    most: usize,
}

impl File {
    /// Opens a file.
    pub(super) fn open(file: std::fs::File) -> Result<Self, String> {
        let whole: DynStorage = Arc::new(FileStorage::from_file(file).map_err(|error| explain(&error))?);
        let blocks = BlockCacheStorage::new(whole.clone(), BLOCK, BLOCKS);
        Self::new(Arc::new(Buffered { whole, blocks }))
    }

    /// Opens bytes.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Result<Self, String> {
        Self::new(Arc::new(BytesStorage::new(bytes)))
    }

    fn new(storage: DynStorage) -> Result<Self, String> {
        let file = opened(&storage)?;
        let (length, expected) = (storage.len(), file.superblock().eof_address);
        if length < expected {
            return Err(format!("is cut short: it has {length} bytes, expected {expected}"));
        }
        Ok(Self { storage, file, met: 0, most: OBJECTS })
    }

    /// A group, with all that is in it.
    pub(super) fn group(&mut self, path: &str) -> Result<Group, String> {
        if self.met > self.most {
            self.file = opened(&self.storage)?;
            self.met = 0;
        }
        let members = self.file.group(path).and_then(|group| {
            check_links(&self.file, &group)?;
            group.members()
        });
        let path = format!("/{}", path.trim_matches('/'));
        let (groups, sets) = members.map_err(|error| format!("`{path}` cannot be read: {}", explain(&error)))?;
        let mut groups: Vec<String> = groups.iter().map(|group| group.name().to_owned()).collect();
        groups.sort_unstable();
        self.met += 1 + groups.len() + sets.len();
        if path == "/" {
            self.most = OBJECTS.max(groups.len() / 8);
        }
        let within = |name: &str| format!("{}/{name}", path.trim_end_matches('/'));
        let sets = sets.into_iter().map(|set| {
            let name = set.name().to_owned();
            (name.clone(), DataSet { path: within(&name), set, file: self.file.clone() })
        });
        Ok(Group { sets: sets.collect(), groups, path })
    }
}

fn opened(storage: &DynStorage) -> Result<Hdf5File, String> {
    let options = OpenOptions {
        external_link_resolver: Some(Arc::new(NoOtherFile)),
        max_object_header_bytes: MOST_OF_HEADER,
        max_read_bytes: MOST_OF_READ,
        ..OpenOptions::default()
    };
    let damaged = |error: Error| format!("is damaged HDF5: {}", explain(&error));
    Hdf5File::from_storage_with_options(storage.clone(), options).map_err(damaged)
}

/// A group: the names of the groups in it, in order, and its data sets.
pub(super) struct Group {
    pub(super) path: String,
    pub(super) groups: Vec<String>,
    pub(super) sets: BTreeMap<String, DataSet>,
}

impl Group {
    /// Its own name.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it has a data set of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sets.contains_key(name)
    }

    /// Takes a data set out of it.
    pub(super) fn take(&mut self, name: &str) -> Result<DataSet, String> {
        self.sets.remove(name).ok_or_else(|| format!("no data set `{name}` in {}", self.summary()))
    }

    /// What is in it, in short.
    pub(super) fn summary(&self) -> String {
        const SHOWN: usize = 8;
        let mut names: Vec<String> = self.sets.keys().cloned().collect();
        names.extend(self.groups.iter().map(|name| format!("{name}/")));
        let more = if names.len() > SHOWN { ", .." } else { "" };
        names.truncate(SHOWN);
        format!("`{}` {{{}{more}}}", self.path, names.join(", "))
    }
}

/// A data set.
pub(super) struct DataSet {
    path: String,
    set: Dataset,
    file: Hdf5File,
}

impl DataSet {
    /// Turns what is wrong with it into a message that names it.
    pub(super) fn error(&self, message: impl AsRef<str>) -> String {
        format!("`{}`: {}", self.path, message.as_ref())
    }

    /// Its shape, if the file holds as much.
    pub(super) fn shape(&self) -> Result<&[u64], String> {
        let size = self.set.num_elements().and_then(|count| {
            let bytes = u64::try_from(self.set.raw_element_size()?).unwrap_or(u64::MAX);
            Ok(count.saturating_mul(bytes))
        });
        let size = size.map_err(|error| self.unreadable(&error))?;
        let length = self.file.storage().len();
        if size > length.saturating_mul(LARGEST_RATIO) {
            return Err(self.error(format!("claims {size} bytes, more than a file of {length} bytes can hold")));
        }
        if size > 0 && !self.is_written()? {
            return Err(self.error("was never written: is the file complete?"));
        }
        Ok(self.set.shape())
    }

    /// Whether it has a place in the file; without one, it would be read as zeros.
    fn is_written(&self) -> Result<bool, String> {
        let header = self.file.get_or_parse_header(self.set.address()).map_err(|error| self.unreadable(&error))?;
        let nowhere = |address| Cursor::is_undefined_offset(address, self.file.superblock().offset_size);
        let written = |layout: &DataLayout| match *layout {
            DataLayout::Compact { .. } => true,
            DataLayout::Contiguous { address, size } => size > 0 && !nowhere(address),
            DataLayout::Chunked { address, .. } => !nowhere(address),
        };
        Ok(header.messages.iter().all(|message| match message {
            HdfMessage::DataLayout(message) => written(&message.layout),
            _ => true,
        }))
    }

    /// Numbers: all, or those of some rows.
    pub(super) fn numbers(&self, rows: Option<Range<usize>>) -> Result<Vec<f64>, String> {
        match *self.set.dtype() {
            Datatype::FloatingPoint { size: 4, .. } => self.values(rows, |value: f32| value.into()),
            Datatype::FloatingPoint { size: 8, .. } => self.values(rows, |value: f64| value),
            Datatype::FixedPoint { .. } => {
                let numbers = self.integers(rows)?;
                Ok(numbers.into_iter().map(|number| number as f64).collect())
            }
            ref other => Err(self.error(format!("holds {}, expected numbers of 4 or 8 bytes", name_of(other)))),
        }
    }

    /// Whole numbers: all, or those of some rows.
    pub(super) fn integers(&self, rows: Option<Range<usize>>) -> Result<Vec<i64>, String> {
        let (size, signed) = match *self.set.dtype() {
            Datatype::FixedPoint { size, signed, .. } => (size, signed),
            ref other => return Err(self.error(format!("holds {}, expected whole numbers", name_of(other)))),
        };
        match (size, signed) {
            (1, true) => self.values(rows, |value: i8| value.into()),
            (1, false) => self.values(rows, |value: u8| value.into()),
            (2, true) => self.values(rows, |value: i16| value.into()),
            (2, false) => self.values(rows, |value: u16| value.into()),
            (4, true) => self.values(rows, |value: i32| value.into()),
            (4, false) => self.values(rows, |value: u32| value.into()),
            (8, true) => self.values(rows, |value: i64| value),
            (8, false) => {
                let numbers = self.values(rows, |value: u64| value)?;
                let small = |number| {
                    i64::try_from(number).map_err(|_| self.error(format!("holds {number}, which is too much")))
                };
                numbers.into_iter().map(small).collect()
            }
            _ => Err(self.error(format!("holds whole numbers of {size} bytes, expected 1, 2, 4 or 8"))),
        }
    }

    fn values<T: H5Type + Copy, V>(&self, rows: Option<Range<usize>>, as_value: fn(T) -> V) -> Result<Vec<V>, String> {
        let mut selection = SliceInfo::all(self.set.ndim());
        if let (Some(first), Some(rows)) = (selection.selections.first_mut(), rows) {
            *first = SliceInfoElem::Slice { start: rows.start as u64, end: rows.end as u64, step: 1 };
        }
        let values = self.set.read_slice::<T>(&selection).map_err(|error| self.unreadable(&error))?;
        let values = values.as_slice().ok_or_else(|| self.error("is in an unexpected order"))?;
        Ok(values.iter().map(|&value| as_value(value)).collect())
    }

    /// The one text that it holds.
    pub(super) fn text(&self) -> Result<String, String> {
        self.shape()?;
        self.set.read_string().map_err(|error| self.unreadable(&error))
    }

    /// The text of an attribute, where it has one.
    pub(super) fn attribute(&self, name: &str) -> Result<Option<String>, String> {
        match self.set.attribute(name) {
            Ok(attribute) => Ok(Some(attribute.read_string().map_err(|error| self.unreadable(&error))?)),
            Err(Error::AttributeNotFound(_)) => Ok(None),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    fn unreadable(&self, error: &Error) -> String {
        self.error(format!("cannot be read: {}", explain(error)))
    }
}

/// What a data set holds that does not hold numbers, or none that are read.
fn name_of(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FixedPoint { size, .. } => format!("whole numbers of {size} bytes"),
        Datatype::FloatingPoint { size, .. } => format!("numbers of {size} bytes"),
        Datatype::String { .. } | Datatype::VarLen { .. } => "text".into(),
        Datatype::Compound { .. } => "records".into(),
        _ => "something else".into(),
    }
}

/// What the library says, and the remedy for what it cannot do.
fn explain(error: &Error) -> String {
    let mut cause = error;
    while let Error::Context { source, .. } = cause {
        cause = source;
    }
    match cause {
        Error::UnsupportedFilter(_) => format!("{error}; write it anew with `h5repack -f GZIP=4`"),
        _ => error.to_string(),
    }
}

/// A file of which small pieces are read in blocks, and large ones at once.
struct Buffered {
    whole: DynStorage,
    blocks: BlockCacheStorage,
}

impl Storage for Buffered {
    fn len(&self) -> u64 {
        self.whole.len()
    }

    fn read_range(&self, offset: u64, len: usize) -> Hdf5Result<StorageBuffer> {
        if len < BLOCK { self.blocks.read_range(offset, len) } else { self.whole.read_range(offset, len) }
    }
}

/// Refuses links to other files, which would otherwise be left out.
struct NoOtherFile;

impl ExternalLinkResolver for NoOtherFile {
    fn resolve_external_link(&self, filename: &str) -> Hdf5Result<Option<Hdf5File>> {
        Err(Error::Other(format!(
            "links to the file `{filename}`, expected all data in one file: read that file itself"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn packed(bytes: &[u8]) -> File {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut unpacked).unwrap();
        File::of_bytes(unpacked).unwrap()
    }

    /// All groups, one level down, with what is in them.
    fn groups(mut file: File) -> Vec<String> {
        let root = file.group("/").unwrap();
        let mut found = vec![root.summary()];
        for name in &root.groups {
            let group = file.group(name).unwrap();
            found.push(group.summary());
            found.extend(group.groups.iter().map(|inner| file.group(&format!("/{name}/{inner}")).unwrap().summary()));
        }
        found
    }

    #[test]
    fn a_file_that_is_opened_afresh_is_the_same() {
        for bytes in [
            &include_bytes!("../../../tests/fixtures/hdf5/qm7x.h5.gz")[..],
            include_bytes!("../../../tests/fixtures/hdf5/spice.h5.gz"),
        ] {
            let once = groups(packed(bytes));
            assert!(once.len() > 2);
            let mut file = packed(bytes);
            let root = file.group("/").unwrap();
            file.most = 0;
            for name in &root.groups {
                let first = file.group(name).unwrap();
                assert!(file.met <= 1 + first.groups.len() + first.sets.len());
                assert!(once.contains(&first.summary()));
            }
        }
    }
}
