//! One array as NumPy saves it (`.npy`): a magic word, a version, the length of a header, the header, and then the
//! items.
//!
//! The header is a dictionary in Python's notation, `{'descr': '<f8', 'fortran_order': False, 'shape': (100, 9, 3), }`.
//! It is parsed here for what NumPy writes and nothing more. Those who parse any Python literal take time and stack
//! that grow with the nesting of brackets, which a damaged or hostile header is free to choose.
//!
//! Items may have either byte order. Axes may have either order too: in C order the last one runs fastest, and so the
//! items of a frame lie side by side. In Fortran order they are spread over the whole array, which is refused. Arrays
//! of Python objects are pickles, and are never loaded.

use std::fmt::Display;
use std::io::{self, Read};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The longest header; NumPy itself refuses one of more than 10000 bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// The longest text that is read from an array.
const LONGEST_TEXT: usize = 1 << 16;

/// An array that is read from its first item on.
pub(super) struct Array {
    item: Item,
    shape: Vec<usize>,
    bytes: Box<dyn Read + Send>,
    /// The bytes of the items that were read last.
    buffer: Vec<u8>,
}

impl Array {
    /// Reads the header of an array whose header and items take `length` bytes.
    ///
    /// # Errors
    /// A sentence about what is no array, or one in Fortran order, or one that has not the length its header speaks of.
    pub(super) fn open(mut bytes: Box<dyn Read + Send>, length: u64) -> Result<Self, String> {
        let (text, header) = header_text(&mut bytes).map_err(|error| format!("is no NumPy array: {error}"))?;
        let (item, fortran, shape) = parse_header(&text).map_err(|error| format!("has no NumPy header: {error}"))?;
        if fortran && shape.iter().filter(|&&length| length > 1).count() > 1 {
            let cure = "save it again after numpy.ascontiguousarray";
            return Err(format!("has the shape {shape:?} in Fortran order, expected C order: {cure}"));
        }
        let array = Self { item, shape, bytes, buffer: Vec::new() };
        if let Some(size) = array.item.size() {
            let claimed = array.items().and_then(|items| items.checked_mul(size));
            let there = length.saturating_sub(header);
            if claimed.and_then(|claimed| u64::try_from(claimed).ok()) != Some(there) {
                let shape = &array.shape;
                return Err(format!("claims the shape {shape:?} of {size} bytes each, but has {there} bytes of data"));
            }
        }
        Ok(array)
    }

    /// The lengths of its axes.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of items, where a number can be that large.
    pub(super) fn items(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length))
    }

    /// The next `count` items as real numbers.
    ///
    /// # Errors
    /// A sentence about items that are no numbers, or an array that ends early.
    pub(super) fn reals(&mut self, count: usize) -> Result<Vec<f64>, String> {
        let big = self.item.big;
        Ok(match self.item.kind {
            Kind::Real(8) => decode(self.take(count, 8)?, big, f64::from_le_bytes),
            Kind::Real(4) => decode(self.take(count, 4)?, big, |bytes| f64::from(f32::from_le_bytes(bytes))),
            _ => self.integers(count)?.into_iter().map(|value| value as f64).collect(),
        })
    }

    /// The next `count` items as whole numbers, which real numbers may be too.
    ///
    /// # Errors
    /// As [`Array::reals`], and of a number that is not whole.
    pub(super) fn integers(&mut self, count: usize) -> Result<Vec<i64>, String> {
        let big = self.item.big;
        Ok(match self.item.kind {
            Kind::Signed(1) => decode(self.take(count, 1)?, big, |bytes| i64::from(i8::from_le_bytes(bytes))),
            Kind::Signed(2) => decode(self.take(count, 2)?, big, |bytes| i64::from(i16::from_le_bytes(bytes))),
            Kind::Signed(4) => decode(self.take(count, 4)?, big, |bytes| i64::from(i32::from_le_bytes(bytes))),
            Kind::Signed(8) => decode(self.take(count, 8)?, big, i64::from_le_bytes),
            Kind::Unsigned(1) => decode(self.take(count, 1)?, big, |bytes| i64::from(u8::from_le_bytes(bytes))),
            Kind::Unsigned(2) => decode(self.take(count, 2)?, big, |bytes| i64::from(u16::from_le_bytes(bytes))),
            Kind::Unsigned(4) => decode(self.take(count, 4)?, big, |bytes| i64::from(u32::from_le_bytes(bytes))),
            Kind::Unsigned(8) => {
                let values = decode(self.take(count, 8)?, big, u64::from_le_bytes);
                values.into_iter().map(whole).collect::<Result<_, _>>()?
            }
            Kind::Real(_) => self.reals(count)?.into_iter().map(whole_of_real).collect::<Result<_, _>>()?,
            _ => return Err(format!("holds {}, expected numbers", self.item)),
        })
    }

    /// The text that is the array's one item.
    ///
    /// # Errors
    /// A sentence about an array of more or other items.
    pub(super) fn text(&mut self) -> Result<String, String> {
        if self.items() != Some(1) {
            return Err(format!("has the shape {:?}, expected one text", self.shape));
        }
        let text = match self.item.kind {
            Kind::Bytes(length) if length <= LONGEST_TEXT => {
                String::from_utf8_lossy(self.take(length, 1)?).into_owned()
            }
            Kind::Unicode(length) if length <= LONGEST_TEXT => {
                let big = self.item.big;
                let points = decode(self.take(length, 4)?, big, u32::from_le_bytes).into_iter();
                let text = points.map(|point| char::from_u32(point).ok_or_else(|| format!("{point} is no character")));
                text.collect::<Result<String, _>>()?
            }
            _ => return Err(format!("holds {}, expected text", self.item)),
        };
        Ok(text.trim_end_matches('\0').to_owned())
    }

    /// Reads past the last item, which is where a checksum is compared.
    ///
    /// # Errors
    /// A sentence about what else is there, or the checksum.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        match self.bytes.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err("goes on after its last item: is it damaged?".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The bytes of the next `count` items. Memory grows as bytes arrive, whatever is claimed.
    fn take(&mut self, count: usize, size: usize) -> Result<&[u8], String> {
        let length = count.checked_mul(size).ok_or("is larger than memory can be")?;
        self.buffer.clear();
        let mut bytes = self.bytes.by_ref().take(length as u64);
        bytes.read_to_end(&mut self.buffer).map_err(|error| format!("cannot be read on: {error}"))?;
        if self.buffer.len() != length {
            return Err(format!("ends early, {} of {length} bytes into what is needed next", self.buffer.len()));
        }
        Ok(&self.buffer)
    }
}

/// Items from their bytes, which are reversed where they are in big-endian order.
fn decode<const N: usize, T>(bytes: &[u8], big: bool, item: fn([u8; N]) -> T) -> Vec<T> {
    let chunks = bytes.as_chunks::<N>().0.iter();
    if big {
        chunks
            .map(|&(mut chunk)| {
                chunk.reverse();
                item(chunk)
            })
            .collect()
    } else {
        chunks.map(|&chunk| item(chunk)).collect()
    }
}

fn whole<T: Copy + Display + TryInto<i64>>(value: T) -> Result<i64, String> {
    value.try_into().map_err(|_| format!("holds {value}, which is too large"))
}

fn whole_of_real(value: f64) -> Result<i64, String> {
    let exact = value.fract() == 0.0 && value.abs() < 9e15;
    exact.then_some(value as i64).ok_or_else(|| format!("holds {value}, expected whole numbers"))
}

/// What kind of items there are, with the bytes that one takes; of text, its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Real(usize),
    Signed(usize),
    Unsigned(usize),
    Bytes(usize),
    Unicode(usize),
    /// Objects, records, dates, complex and half-precision numbers.
    Other,
}

/// The type of the items.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    /// As the header has it.
    name: String,
    kind: Kind,
    /// Whether the first byte counts most.
    big: bool,
}

impl Item {
    fn new(name: String) -> Self {
        let code = name.trim_start_matches(['<', '>', '|', '=']);
        let letter = code.chars().next();
        let size = code.get(1..).and_then(|size| size.parse().ok());
        let kind = match (letter, size) {
            (Some('f'), Some(size @ (4 | 8))) => Kind::Real(size),
            (Some('i'), Some(size @ (1 | 2 | 4 | 8))) => Kind::Signed(size),
            (Some('u'), Some(size @ (1 | 2 | 4 | 8))) => Kind::Unsigned(size),
            (Some('b'), Some(1)) => Kind::Unsigned(1),
            (Some('S' | 'a'), Some(length)) => Kind::Bytes(length),
            (Some('U'), Some(length)) => Kind::Unicode(length),
            _ => Kind::Other,
        };
        Self { kind, big: name.starts_with('>'), name }
    }

    /// Bytes of an item, where they are known.
    fn size(&self) -> Option<usize> {
        match self.kind {
            Kind::Real(size) | Kind::Signed(size) | Kind::Unsigned(size) | Kind::Bytes(size) => Some(size),
            Kind::Unicode(length) => length.checked_mul(4),
            Kind::Other => None,
        }
    }
}

impl Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let objects = self.kind == Kind::Other && self.name.contains('O');
        let kind = if objects { ", which are Python objects and never loaded" } else { "" };
        write!(f, "items of the type `{}`{kind}", self.name)
    }
}

/// The header's text, and how many bytes lie before the first item.
fn header_text(bytes: &mut impl Read) -> io::Result<(String, u64)> {
    let wrong = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut start = [0; 10];
    bytes.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err(wrong("it does not begin with \\x93NUMPY".into()));
    }
    let short = usize::from(start[8]) | usize::from(start[9]) << 8;
    let (before, length) = match start[6] {
        1 => (10, short),
        2 | 3 => {
            let mut high = [0; 2];
            bytes.read_exact(&mut high)?;
            (12, short | usize::from(high[0]) << 16 | usize::from(high[1]) << 24)
        }
        version => return Err(wrong(format!("it is of version {version}, expected 1, 2 or 3"))),
    };
    if length > LONGEST_HEADER {
        return Err(wrong(format!("its header is {length} bytes long, expected at most {LONGEST_HEADER}")));
    }
    let mut text = vec![0; length];
    bytes.read_exact(&mut text)?;
    Ok((String::from_utf8_lossy(&text).into_owned(), before + length as u64))
}

/// The type of the items, whether their order is Fortran's, and the shape.
fn parse_header(text: &str) -> Result<(Item, bool, Vec<usize>), String> {
    let mut rest = text;
    let (mut item, mut fortran, mut shape) = (None, None, None);
    expect(&mut rest, "{")?;
    while expect(&mut rest, "}").is_err() {
        let key = quoted(&mut rest)?;
        expect(&mut rest, ":")?;
        match key {
            "descr" if rest.trim_start().starts_with('[') => {
                return Err("its items are records, expected numbers".into());
            }
            "descr" => item = Some(Item::new(quoted(&mut rest)?.to_owned())),
            "fortran_order" => fortran = Some(boolean(&mut rest)?),
            "shape" => shape = Some(tuple(&mut rest)?),
            other => return Err(format!("the key `{other}`, expected descr, fortran_order and shape")),
        }
        if expect(&mut rest, ",").is_err() && !rest.trim_start().starts_with('}') {
            return Err(unexpected(rest, ", or }"));
        }
    }
    let missing = |key: &str| format!("the key `{key}` is missing");
    let (item, fortran) = (item.ok_or_else(|| missing("descr"))?, fortran.ok_or_else(|| missing("fortran_order"))?);
    Ok((item, fortran, shape.ok_or_else(|| missing("shape"))?))
}

fn unexpected(rest: &str, expected: &str) -> String {
    let shown: String = rest.trim_start().chars().take(20).collect();
    format!("expected {expected}, found `{shown}`")
}

fn expect(rest: &mut &str, word: &str) -> Result<(), String> {
    *rest = rest.trim_start().strip_prefix(word).ok_or_else(|| unexpected(rest, word))?;
    Ok(())
}

fn quoted<'a>(rest: &mut &'a str) -> Result<&'a str, String> {
    let text = rest.trim_start();
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'));
    let inner = quote.and_then(|quote| text[1..].split_once(quote));
    let (inner, after) = inner.ok_or_else(|| unexpected(rest, "a word in quotes"))?;
    *rest = after;
    Ok(inner)
}

fn boolean(rest: &mut &str) -> Result<bool, String> {
    let found = [("True", true), ("False", false)].into_iter().find(|(word, _)| expect(rest, word).is_ok());
    found.map(|(_, value)| value).ok_or_else(|| unexpected(rest, "True or False"))
}

/// `()`, `(3,)`, `(3, 4)`; old Pythons wrote `3L`.
fn tuple(rest: &mut &str) -> Result<Vec<usize>, String> {
    expect(rest, "(")?;
    let (inner, after) = rest.split_once(')').ok_or_else(|| unexpected(rest, "a tuple of lengths"))?;
    let words = inner.split(',').map(str::trim).filter(|word| !word.is_empty());
    let length =
        |word: &str| word.trim_end_matches('L').parse().map_err(|_| format!("`{word}` is no length of an axis"));
    let lengths = words.map(length).collect::<Result<_, _>>()?;
    *rest = after;
    Ok(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(header: &str, items: &[u8]) -> Result<Array, String> {
        let length = (header.len() as u16).to_le_bytes();
        let bytes = [&MAGIC[..], &[1, 0], &length, header.as_bytes(), items].concat();
        let length = bytes.len() as u64;
        Array::open(Box::new(io::Cursor::new(bytes)), length)
    }

    fn of(descr: &str, shape: &str, items: &[u8]) -> Result<Array, String> {
        array(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}          \n"), items)
    }

    #[test]
    fn numbers_of_every_size_and_byte_order() {
        assert_eq!(of("<f8", "(1,)", &1.5f64.to_le_bytes()).unwrap().reals(1).unwrap(), [1.5]);
        assert_eq!(of(">f8", "(1,)", &1.5f64.to_be_bytes()).unwrap().reals(1).unwrap(), [1.5]);
        assert_eq!(of("<f4", "(1,)", &0.1f32.to_le_bytes()).unwrap().reals(1).unwrap(), [f64::from(0.1f32)]);
        assert_eq!(of(">f4", "()", &(-2.5f32).to_be_bytes()).unwrap().reals(1).unwrap(), [-2.5]);
        for (descr, bytes) in [
            ("|i1", &(-3i8).to_le_bytes()[..]),
            ("<i2", &(-3i16).to_le_bytes()),
            (">i2", &(-3i16).to_be_bytes()),
            ("<i4", &(-3i32).to_le_bytes()),
            ("<i8", &(-3i64).to_le_bytes()),
            (">i8", &(-3i64).to_be_bytes()),
            ("<f4", &(-3f32).to_le_bytes()),
        ] {
            assert_eq!(of(descr, "(1,)", bytes).unwrap().integers(1).unwrap(), [-3], "{descr}");
            assert_eq!(of(descr, "(1,)", bytes).unwrap().reals(1).unwrap(), [-3.0], "{descr}");
        }
        for (descr, bytes) in [
            ("|u1", &200u8.to_le_bytes()[..]),
            ("<u2", &200u16.to_le_bytes()),
            (">u4", &200u32.to_be_bytes()),
            ("<u8", &200u64.to_le_bytes()),
        ] {
            assert_eq!(of(descr, "(1,)", bytes).unwrap().integers(1).unwrap(), [200], "{descr}");
        }
        assert_eq!(of("|b1", "(2,)", &[0, 1]).unwrap().integers(2).unwrap(), [0, 1]);
        assert!(of("<u8", "(1,)", &[0xff; 8]).unwrap().integers(1).unwrap_err().contains("too large"));
        assert!(of("<f4", "(1,)", &0.5f32.to_le_bytes()).unwrap().integers(1).unwrap_err().contains("0.5"));
        assert!(of("<f8", "(1,)", &f64::NAN.to_le_bytes()).unwrap().integers(1).is_err());
    }

    #[test]
    fn text_in_bytes_and_in_characters() {
        assert_eq!(of("|S5", "()", b"DFT\0\0").unwrap().text().unwrap(), "DFT");
        let wide: Vec<u8> = "Å\0".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
        assert_eq!(of("<U2", "(1,)", &wide).unwrap().text().unwrap(), "Å");
        let wide: Vec<u8> = "eV".chars().flat_map(|c| (c as u32).to_be_bytes()).collect();
        assert_eq!(of(">U2", "()", &wide).unwrap().text().unwrap(), "eV");
        assert!(of("<U1", "()", &[0xff; 4]).unwrap().text().unwrap_err().contains("no character"));
        assert!(of("|S1", "(2,)", b"ab").unwrap().text().unwrap_err().contains("expected one text"));
        assert!(of("<f8", "()", &[0; 8]).unwrap().text().unwrap_err().contains("expected text"));
    }

    #[test]
    fn items_are_taken_one_after_the_other() {
        let mut bytes = of("<i2", "(2, 2)", &[1, 0, 2, 0, 3, 0, 4, 0]).unwrap();
        assert_eq!(bytes.shape(), [2, 2]);
        assert_eq!(bytes.integers(2).unwrap(), [1, 2]);
        assert_eq!(bytes.integers(2).unwrap(), [3, 4]);
        bytes.finish().unwrap();
        assert!(bytes.integers(1).unwrap_err().contains("ends early"));
    }

    #[test]
    fn headers_as_pythons_have_written_them() {
        let header = |text: &str| parse_header(text).map(|(item, fortran, shape)| (item.name, fortran, shape));
        let expected = ("<f8".to_owned(), false, vec![3, 4]);
        for text in [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }\n",
            "{'shape': (3L, 4L), 'fortran_order': False, 'descr': '<f8'}",
            "{\"descr\":\"<f8\",\"fortran_order\":False,\"shape\":(3,4)}",
        ] {
            assert_eq!(header(text).unwrap(), expected, "{text}");
        }
        assert_eq!(header("{'descr': '<f8', 'fortran_order': True, 'shape': (), }").unwrap().2, Vec::<usize>::new());
    }

    #[test]
    fn what_is_no_array_of_numbers_is_explained() {
        for (header, expected) in [
            ("", "expected {, found ``"),
            ("{'descr': '<f8', 'fortran_order': False}", "`shape` is missing"),
            ("{'descr': '<f8', 'fortran_order': 0, 'shape': ()}", "expected True or False"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", "`-1` is no length"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1e3,)}", "`1e3` is no length"),
            ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': ()}", "records"),
            ("{'descr': '<f8' 'fortran_order': False, 'shape': ()}", "expected , or }"),
            ("{'x': 1}", "the key `x`"),
            ("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3)}", "Fortran order, expected C order"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)}", "claims the shape [2, 3]"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "claims the shape"),
        ] {
            let message = array(header, &[0; 8]).err().unwrap();
            assert!(message.contains(expected), "{header}: {message}");
        }
        // Along one axis the two orders are the same.
        array("{'descr': '<f8', 'fortran_order': True, 'shape': (1, 1)}", &[0; 8]).unwrap();
        let nested = format!("{{'descr': {}", "[".repeat(60_000));
        assert!(array(&nested, &[]).err().unwrap().contains("records"));
        let nested = format!("{{'shape': {}", "(".repeat(60_000));
        assert!(array(&nested, &[]).err().unwrap().contains("expected a tuple"));
        for (descr, expected) in [("|O", "Python objects and never loaded"), ("<c16", "`<c16`"), ("<f2", "`<f2`")] {
            let message = of(descr, "(1,)", &[0; 8]).unwrap().reals(1).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let open = |bytes: &[u8]| Array::open(Box::new(io::Cursor::new(bytes.to_vec())), bytes.len() as u64).err();
        assert!(open(b"").unwrap().contains("is no NumPy array"));
        assert!(open(b"NUMPY array").unwrap().contains("does not begin with"));
        assert!(open(b"\x93NUMPY\x09\0\0\0").unwrap().contains("version 9"));
        assert!(open(b"\x93NUMPY\x02\0\xff\xff\xff\x7f").unwrap().contains("its header is 2147483647 bytes"));
    }
}
