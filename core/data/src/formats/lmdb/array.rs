//! Numbers in a pickle: tensors of PyTorch, arrays and scalars of NumPy, and Python's own.
//!
//! A tensor is a call of `torch._utils._rebuild_tensor_v2` with a storage, an offset, a size and strides, all in elements.
//! Its storage is a call of `torch.storage._load_from_bytes` with bytes that are a stream of their own: four pickles (a magic
//! number, a version, facts on the machine, and the name of the storage with its type and length), a fifth with the names of
//! all storages, and for each an 8-byte count of elements and the elements.
//!
//! An array is an object with a state of version, shape, type, order and bytes, or a call of `_frombuffer`; a scalar is a
//! call of `scalar`. NumPy 2 says `numpy._core` where NumPy 1 says `numpy.core`. Protocol 2 has no bytes: they are text whose
//! characters are the bytes, to be encoded as Latin-1.

use std::borrow::Cow;

use super::pickle::{Id, Pickle, Value};

/// The magic number of a stream, as a pickle holds it, and the version.
const STREAM: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const STREAM_VERSION: i64 = 1001;
/// The most dimensions of an array.
const MOST_DIMENSIONS: usize = 8;

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Real(f64),
    Integer(i64),
}

impl Number {
    pub(super) fn real(self) -> f64 {
        match self {
            Self::Real(number) => number,
            Self::Integer(number) => number as f64,
        }
    }

    /// The same as a whole number, if it is one: files have atomic numbers and tags as reals.
    pub(super) fn whole(self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(number),
            Self::Real(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(number as i64),
            Self::Real(_) => None,
        }
    }
}

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Real,
    Signed,
    Unsigned,
}

/// What an element is, and how many bytes it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Element {
    kind: Kind,
    size: usize,
}

impl Element {
    fn number(self, bytes: &[u8]) -> Number {
        let raw = bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        let unused = 64 - 8 * self.size as u32;
        match self.kind {
            Kind::Real if self.size == 4 => Number::Real(f64::from(f32::from_bits(raw as u32))),
            Kind::Real => Number::Real(f64::from_bits(raw)),
            Kind::Signed => Number::Integer((raw << unused) as i64 >> unused),
            Kind::Unsigned => i64::try_from(raw).map_or(Number::Real(raw as f64), Number::Integer),
        }
    }
}

/// An array that has been found to lie within its bytes.
pub(super) struct Array<'a> {
    pub(super) shape: Vec<usize>,
    holds: Holds<'a>,
}

enum Holds<'a> {
    One(Number),
    Many { element: Element, start: usize, strides: Vec<usize>, bytes: Cow<'a, [u8]> },
}

impl<'a> Array<'a> {
    /// The array that a value is, `None` if it is something else.
    ///
    /// # Errors
    /// What is wrong with it, or not known here.
    pub(super) fn of(pickle: &Pickle<'a>, id: Id) -> Result<Option<Self>, String> {
        let one = |number| Ok(Some(Self { shape: Vec::new(), holds: Holds::One(number) }));
        match *pickle.get(id) {
            Value::Boolean(yes) => return one(Number::Integer(i64::from(yes))),
            Value::Integer(number) => return one(Number::Integer(number)),
            Value::Real(number) => return one(Number::Real(number)),
            _ => {}
        }
        let Some((module, name, arguments)) = pickle.call(id) else { return Ok(None) };
        let numpy = |part: &str| ["core", "_core"].iter().any(|core| module == format!("numpy.{core}.{part}"));
        match (name, arguments) {
            ("_rebuild_tensor_v2", &[storage, offset, size, stride, _, _, ref more @ ..])
                if module == "torch._utils" =>
            {
                if !more.is_empty() {
                    return Err("a tensor that is to be conjugated or negated".into());
                }
                tensor(pickle, storage, offset, size, stride).map(Some)
            }
            ("_reconstruct", _) if numpy("multiarray") => {
                let state = pickle.state(id).and_then(|state| pickle.tuple(state));
                let Some(&[_, shape, kind, by_columns, bytes]) = state else {
                    return Err("an array without version, shape, type, order and bytes".into());
                };
                let by_columns = *pickle.get(by_columns) == Value::Boolean(true);
                array(pickle, shape, kind, by_columns, bytes).map(Some)
            }
            ("_frombuffer", &[bytes, kind, shape, order]) if numpy("numeric") => {
                array(pickle, shape, kind, pickle.text(order) == Some("F"), bytes).map(Some)
            }
            ("scalar", &[kind, bytes]) if numpy("multiarray") => {
                let element = element(pickle, kind)?;
                let bytes = bytes_of(pickle, bytes).ok_or("a scalar without bytes")?;
                Self::new(element, 0, Vec::new(), Vec::new(), bytes).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Elements of a shape at their strides, from one on.
    fn new(
        element: Element,
        start: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
        bytes: Cow<'a, [u8]>,
    ) -> Result<Self, String> {
        let there = bytes.len() / element.size;
        let wrong = || format!("an array of shape {shape:?} over {there} elements");
        if shape.len() != strides.len() || shape.len() > MOST_DIMENSIONS {
            return Err(format!("an array of {} dimensions and {} strides", shape.len(), strides.len()));
        }
        let count = shape.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent));
        let count = count.filter(|&count| count <= there).ok_or_else(wrong)?;
        let steps = shape.iter().zip(&strides).map(|(&extent, &stride)| extent.saturating_sub(1).checked_mul(stride));
        let last = steps.into_iter().try_fold(start, |last, step| last.checked_add(step?));
        if count > 0 && last.is_none_or(|last| last >= there) {
            return Err(wrong());
        }
        Ok(Self { shape, holds: Holds::Many { element, start, strides, bytes } })
    }

    /// How many numbers it has.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its numbers, row by row.
    pub(super) fn numbers(&self) -> Vec<Number> {
        match &self.holds {
            Holds::One(number) => vec![*number],
            Holds::Many { element, start, strides, bytes } => {
                let place = |flat: usize| {
                    let dimensions = self.shape.iter().zip(strides).rev();
                    let ends = dimensions.fold((flat, *start), |(rest, at), (&extent, &stride)| {
                        (rest / extent, at + rest % extent * stride)
                    });
                    ends.1 * element.size
                };
                (0..self.len()).map(place).map(|at| element.number(&bytes[at..at + element.size])).collect()
            }
        }
    }
}

fn tensor<'a>(pickle: &Pickle<'a>, storage: Id, offset: Id, size: Id, stride: Id) -> Result<Array<'a>, String> {
    let Some(("torch.storage", "_load_from_bytes", &[bytes])) = pickle.call(storage) else {
        return Err(format!("a tensor whose storage is {}", pickle.describe(storage)));
    };
    let bytes = bytes_of(pickle, bytes).ok_or("a storage without bytes")?;
    let (element, from, to) = stream(&bytes)?;
    let elements = match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[from..to]),
        Cow::Owned(bytes) => Cow::Owned(bytes[from..to].to_vec()),
    };
    let offset =
        pickle.integer(offset).and_then(|offset| usize::try_from(offset).ok()).ok_or("a tensor without offset")?;
    let sizes = |id| sizes(pickle, id).ok_or("a tensor without size and strides");
    Array::new(element, offset, sizes(size)?, sizes(stride)?, elements)
}

/// What the elements of a storage's stream are, and from where to where they are.
fn stream(bytes: &[u8]) -> Result<(Element, usize, usize), String> {
    if bytes.starts_with(b"PK") {
        return Err("a storage in a zip archive, expected the stream that pickling a tensor writes".into());
    }
    let mut at = 0;
    let mut next = || {
        let pickle = Pickle::read(&bytes[at..]).map_err(|message| format!("a storage's stream: {message}"))?;
        at += pickle.length();
        Ok::<_, String>(pickle)
    };
    let (magic, version, machine, name, names) = (next()?, next()?, next()?, next()?, next()?);
    if *magic.get(magic.root()) != Value::Long(STREAM) || version.integer(version.root()) != Some(STREAM_VERSION) {
        return Err("a storage's stream without its magic number and version 1001".into());
    }
    let order = machine.entry(machine.root(), "little_endian");
    if order.is_none_or(|order| *machine.get(order) != Value::Boolean(true)) {
        return Err("a storage's stream that is not little-endian".into());
    }
    let &Value::Stored(own) = name.get(name.root()) else { return Err("a storage's stream without a storage".into()) };
    let Some(&[_, class, _, _, count, ref view @ ..]) = name.tuple(own) else {
        return Err("a storage without type, name, place and length".into());
    };
    if view.iter().any(|&view| *name.get(view) != Value::None) {
        return Err("a storage that is a view of another".into());
    }
    if !matches!(names.get(names.root()), Value::List(all) if all.len() == 1) {
        return Err("a storage's stream of several storages".into());
    }
    let (_, class) = name.class(class).ok_or("a storage without a type")?;
    let (kind, size) = match class {
        "FloatStorage" => (Kind::Real, 4),
        "DoubleStorage" => (Kind::Real, 8),
        "LongStorage" => (Kind::Signed, 8),
        "IntStorage" => (Kind::Signed, 4),
        "ShortStorage" => (Kind::Signed, 2),
        "CharStorage" => (Kind::Signed, 1),
        "ByteStorage" | "BoolStorage" => (Kind::Unsigned, 1),
        other => return Err(format!("a tensor of a `{}`", other.chars().take(40).collect::<String>())),
    };
    let Some((count_there, elements)) = bytes[at..].split_first_chunk::<8>() else {
        return Err("a storage's stream that ends before its elements".into());
    };
    let count = name.integer(count).filter(|&count| count == i64::from_le_bytes(*count_there));
    let count = count.and_then(|count| usize::try_from(count).ok()).ok_or("a storage of contradicting lengths")?;
    let end = count.checked_mul(size).filter(|&end| end <= elements.len());
    let end = end.ok_or_else(|| format!("a storage of {count} elements in {} bytes", elements.len()))?;
    Ok((Element { kind, size }, at + 8, at + 8 + end))
}

fn array<'a>(pickle: &Pickle<'a>, shape: Id, kind: Id, by_columns: bool, bytes: Id) -> Result<Array<'a>, String> {
    let element = element(pickle, kind)?;
    let shape = sizes(pickle, shape).ok_or("an array without a shape")?;
    let bytes =
        bytes_of(pickle, bytes).ok_or_else(|| format!("an array whose elements are {}", pickle.describe(bytes)))?;
    let mut strides = vec![1; shape.len()];
    let mut stride = 1_usize;
    for place in 0..shape.len() {
        let place = if by_columns { place } else { shape.len() - 1 - place };
        strides[place] = stride;
        stride = stride.saturating_mul(shape[place]);
    }
    Array::new(element, 0, shape, strides, bytes)
}

/// A type of NumPy: a call of `numpy.dtype` with a name like `f8`, and a state whose second member is the order of bytes.
fn element(pickle: &Pickle<'_>, id: Id) -> Result<Element, String> {
    let Some(("numpy", "dtype", &[name, ..])) = pickle.call(id) else {
        return Err(format!("an array whose type is {}", pickle.describe(id)));
    };
    let order = pickle.state(id).and_then(|state| pickle.tuple(state)).and_then(|state| pickle.text(*state.get(1)?));
    let name = pickle.text(name).unwrap_or_default();
    let (kind, size) = match name {
        "f4" => (Kind::Real, 4),
        "f8" => (Kind::Real, 8),
        "i1" => (Kind::Signed, 1),
        "i2" => (Kind::Signed, 2),
        "i4" => (Kind::Signed, 4),
        "i8" => (Kind::Signed, 8),
        "b1" | "u1" => (Kind::Unsigned, 1),
        "u2" => (Kind::Unsigned, 2),
        "u4" => (Kind::Unsigned, 4),
        "u8" => (Kind::Unsigned, 8),
        other => return Err(format!("an array of type `{}`", other.chars().take(40).collect::<String>())),
    };
    match order {
        Some("<" | "|") => Ok(Element { kind, size }),
        _ => Err(format!("an array of type `{name}` that is not little-endian")),
    }
}

/// The whole numbers of a tuple.
fn sizes(pickle: &Pickle<'_>, id: Id) -> Option<Vec<usize>> {
    let size = |&id: &Id| pickle.integer(id).and_then(|size| usize::try_from(size).ok());
    pickle.tuple(id)?.iter().map(size).collect()
}

/// Bytes, however the protocol writes them.
fn bytes_of<'a>(pickle: &Pickle<'a>, id: Id) -> Option<Cow<'a, [u8]>> {
    if let &Value::Bytes(bytes) = pickle.get(id) {
        return Some(Cow::Borrowed(bytes));
    }
    let (_, name, arguments) =
        pickle.call(id).filter(|call| ["_codecs", "builtins", "__builtin__"].contains(&call.0))?;
    match (name, arguments) {
        ("bytes" | "bytearray", []) => Some(Cow::Borrowed(&[])),
        ("bytearray", &[bytes]) => match pickle.get(bytes) {
            &Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            _ => None,
        },
        ("encode" | "bytearray", &[text, encoding]) => {
            let latin = matches!(pickle.text(encoding)?, "latin1" | "latin-1");
            let bytes = pickle.text(text)?.chars().map(|letter| u8::try_from(letter).ok());
            bytes.collect::<Option<Vec<u8>>>().filter(|_| latin).map(Cow::Owned)
        }
        _ => None,
    }
}
