//! ULM, the container of ASE's trajectories: items of JSON, which say where in the file their arrays lie.
//!
//! | at | what |
//! |---|---|
//! | 0 | `- of Ulm`, or `AFFormat` in versions 1 and 2 |
//! | 8 | what the file is for, 16 characters filled up with blanks |
//! | 24 | the version, the number of items, and where the list of their places begins |
//! | a place | the length of an item, and its JSON |
//!
//! These integers have 8 bytes, the lowest first. Arrays have the order of bytes of the machine that wrote them: the
//! highest first where an item says `_little_endian: false`. An array has a dot behind its name, `{"name.": {"ndarray":
//! [shape, type, place]}}`, and so has a group of entries, `{"name.": {..}}`.

use std::io::{Read, Seek, SeekFrom};

use serde_json::{Map, Value};

use super::array::{Array, shape_of, shown, size_of};
use super::json::parse;

/// What files begin with.
pub(super) const MAGIC: [&[u8]; 2] = [b"- of Ulm", b"AFFormat"];

/// How many bytes stand before anything else.
const HEAD: u64 = 48;

/// The newest version that is read.
const VERSION: u64 = 3;

/// A file of items.
pub(super) struct Ulm<R> {
    input: R,
    /// In bytes.
    length: u64,
    tag: String,
    items: u64,
    /// Where the list of the items' places begins.
    places: u64,
}

/// The entries of an item, or of a group in it.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a> {
    map: &'a Map<String, Value>,
    little_endian: bool,
}

/// One entry.
pub(super) enum Entry<'a> {
    /// Whatever JSON can say.
    Value(&'a Value),
    /// An array, and how it is written.
    Array(&'a Value, bool),
    /// More entries.
    Group(Entries<'a>),
}

impl<'a> Entries<'a> {
    /// The entries of an item.
    ///
    /// # Errors
    /// A sentence about what is no item.
    pub(super) fn of(item: &'a Value) -> Result<Self, String> {
        let map = item.as_object().ok_or_else(|| format!("an item is `{}`, expected a dictionary", shown(item)))?;
        let little_endian = map.get("_little_endian").and_then(Value::as_bool).unwrap_or(true);
        Ok(Self { map, little_endian })
    }

    /// The entry of a name.
    pub(super) fn get(self, name: &str) -> Option<Entry<'a>> {
        let inner = self.map.get(&format!("{name}.")).and_then(|value| self.within(value));
        inner.or_else(|| self.map.get(name).map(Entry::Value))
    }

    /// All of them, with their names.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a str, Entry<'a>)> {
        self.map.iter().map(move |(name, value)| {
            let inner = name.strip_suffix('.').and_then(|name| Some((name, self.within(value)?)));
            inner.unwrap_or((name.as_str(), Entry::Value(value)))
        })
    }

    /// What stands behind a name with a dot.
    fn within(self, value: &'a Value) -> Option<Entry<'a>> {
        let map = value.as_object()?;
        Some(match map.get("ndarray") {
            Some(array) => Entry::Array(array, self.little_endian),
            None => Entry::Group(Self { map, ..self }),
        })
    }
}

impl<R: Read + Seek> Ulm<R> {
    /// Reads the head of a file.
    ///
    /// # Errors
    /// A sentence about what is wrong with the file.
    pub(super) fn new(mut input: R) -> Result<Self, String> {
        let length = input.seek(SeekFrom::End(0)).map_err(|error| format!("cannot be read: {error}"))?;
        if length < HEAD {
            return Err(format!("ends within its head: it has {length} bytes"));
        }
        let mut file = Self { input, length, tag: String::new(), items: 0, places: 0 };
        let head = file.bytes(0, HEAD)?;
        if !MAGIC.iter().any(|magic| head.starts_with(magic)) {
            return Err("does not begin as a file of ULM".into());
        }
        let (version, items, places) = (integer(&head[24..]), integer(&head[32..]), integer(&head[40..]));
        if !(1..=VERSION).contains(&version) {
            return Err(format!("is of version {version} of ULM, expected 1 to {VERSION}"));
        }
        let end = items.checked_mul(8).and_then(|size| size.checked_add(places));
        if end.is_none_or(|end| end > length) {
            let claim = format!("claims to have {items} items, whose places are listed from byte {places} on");
            return Err(format!("{claim}, but has only {length} bytes: is the file complete?"));
        }
        let tag = String::from_utf8_lossy(&head[8..24]).trim_end_matches([' ', '\0']).to_owned();
        Ok(Self { tag, items, places, ..file })
    }

    /// What the file is for.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// How many items there are.
    pub(super) fn len(&self) -> u64 {
        self.items
    }

    /// The JSON of an item.
    ///
    /// # Errors
    /// A sentence about what cannot be read.
    pub(super) fn item(&mut self, index: u64) -> Result<Value, String> {
        let place = integer(&self.bytes(self.places + 8 * index, 8)?);
        let behind = place.checked_add(8).ok_or_else(|| format!("the item is said to begin at byte {place}"))?;
        let size = integer(&self.bytes(place, 8)?);
        let text = self.bytes(behind, size)?;
        parse(&text).map_err(|message| format!("the item at byte {place} {message}"))
    }

    /// The array that an entry is, if it is one, and not null.
    ///
    /// # Errors
    /// A sentence about what is no array, and about one that is not within the file.
    pub(super) fn array(&mut self, entry: Entry<'_>) -> Result<Option<Array>, String> {
        match entry {
            Entry::Value(Value::Null) => Ok(None),
            Entry::Value(value) => {
                let array = Array::of_json(value, &[])?;
                array.map(Some).ok_or_else(|| format!("`{}` is no array of numbers", shown(value)))
            }
            Entry::Array(array, little_endian) => self.read(array, little_endian).map(Some),
            Entry::Group(_) => Err("a group of entries, expected an array".into()),
        }
    }

    fn read(&mut self, array: &Value, little_endian: bool) -> Result<Array, String> {
        let parts = array.as_array().map_or(&[][..], Vec::as_slice);
        let [shape, Value::String(dtype), place] = parts else {
            return Err(format!("`{}`, expected the shape, the type and the place of an array", shown(array)));
        };
        let place = place.as_u64().ok_or_else(|| format!("`{}` is no place in a file", shown(place)))?;
        let (shape, count) = shape_of(shape)?;
        let unknown = || format!("an array of `{dtype}`, expected bool, int8 to int64, float32, float64 or complex");
        let size = size_of(dtype).ok_or_else(unknown)?;
        let bytes = self.bytes(place, (count as u64).saturating_mul(size as u64))?;
        Array::of_bytes(dtype, shape, &bytes, little_endian).ok_or_else(unknown)
    }

    /// Bytes of the file, which has them.
    fn bytes(&mut self, start: u64, count: u64) -> Result<Vec<u8>, String> {
        if start.checked_add(count).is_none_or(|end| end > self.length) {
            return Err(format!(
                "{count} bytes from byte {start} on are not within the file, which has {}",
                self.length
            ));
        }
        let cannot = |error| format!("cannot read from byte {start} on: {error}");
        self.input.seek(SeekFrom::Start(start)).map_err(cannot)?;
        let mut bytes = vec![0; usize::try_from(count).map_err(|error| error.to_string())?];
        self.input.read_exact(&mut bytes).map_err(cannot)?;
        Ok(bytes)
    }
}

/// The integer that begins here.
fn integer(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
