//! Arrays of numbers as ASE's files have them: nested lists, a shape with a flat list, a shape with a place among
//! bytes.

use serde_json::{Map, Value};

use crate::formats::Data;

/// The key of an object that stands for an array: `[shape, type, values]`.
const NDARRAY: &str = "__ndarray__";

/// An array of real or whole numbers, or of truth values. A complex number is two real ones, in a last dimension.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    shape: Vec<usize>,
    cells: Data,
}

impl Array {
    /// A single number.
    pub(super) fn number(number: f64) -> Self {
        Self { shape: Vec::new(), cells: Data::Real(vec![number]) }
    }

    /// The array that a value is; `None` for text, for what is no array, and for arrays of what is no number. In place
    /// of values, an object may name where they begin in `bytes`.
    ///
    /// # Errors
    /// A sentence about an array that does not have the size that it claims.
    pub(super) fn of_json(value: &Value, bytes: &[u8]) -> Result<Option<Self>, String> {
        match value {
            Value::Number(_) | Value::Bool(_) | Value::Array(_) => Ok(nested(value)),
            Value::Object(object) => match (object.get(NDARRAY), object.get("array")) {
                (Some(parts), _) => ndarray(parts, bytes),
                (None, Some(array)) if is_cell(object) => Self::of_json(array, bytes),
                _ => Ok(None),
            },
            Value::Null | Value::String(_) => Ok(None),
        }
    }

    /// The array of this shape whose values follow each other in `bytes`; `None` if its type is none that we read.
    pub(super) fn of_bytes(dtype: &str, mut shape: Vec<usize>, bytes: &[u8], little_endian: bool) -> Option<Self> {
        let cells = cells(dtype, bytes, little_endian)?;
        if is_complex(dtype) {
            shape.push(2);
        }
        Some(Self { shape, cells })
    }

    /// The number of its cells.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The size of its first dimension, if it has any.
    pub(super) fn rows(&self) -> Option<usize> {
        self.shape.first().copied()
    }

    /// Whether it has just the one dimension, in which rows of several numbers may follow each other.
    pub(super) fn is_flat(&self) -> bool {
        self.shape.len() == 1
    }

    /// How large it is in words, as in `[3, 2]`.
    pub(super) fn size(&self) -> String {
        format!("{:?}", self.shape)
    }

    /// Whether no number of it is one.
    pub(super) fn is_missing(&self) -> bool {
        matches!(&self.cells, Data::Real(cells) if cells.iter().all(|cell| cell.is_nan()))
    }

    /// Its cells.
    pub(super) fn into_cells(self) -> Data {
        self.cells
    }

    /// Its numbers, of truth values 1 and 0.
    pub(super) fn into_reals(self) -> Vec<f64> {
        match self.cells {
            Data::Real(cells) => cells,
            Data::Integer(cells) => cells.into_iter().map(|cell| cell as f64).collect(),
            Data::Logical(cells) => cells.into_iter().map(|cell| f64::from(u8::from(cell))).collect(),
            Data::Text(_) => Vec::new(),
        }
    }

    /// Its numbers, if all are whole.
    pub(super) fn into_integers(self) -> Option<Vec<i64>> {
        match self.cells {
            Data::Integer(cells) => Some(cells),
            Data::Real(cells) => cells.into_iter().map(whole).collect(),
            Data::Logical(_) | Data::Text(_) => None,
        }
    }

    /// Its truth values, which 1 and 0 are too.
    pub(super) fn into_booleans(self) -> Option<Vec<bool>> {
        match self.cells {
            Data::Logical(cells) => Some(cells),
            Data::Integer(cells) if cells.iter().all(|cell| matches!(cell, 0 | 1)) => {
                Some(cells.into_iter().map(|cell| cell == 1).collect())
            }
            _ => None,
        }
    }

    /// Whether it is made of truth values.
    pub(super) fn is_logical(&self) -> bool {
        matches!(self.cells, Data::Logical(_))
    }

    /// The same with all numbers times a factor.
    pub(super) fn times(self, factor: f64) -> Self {
        let shape = self.shape.clone();
        Self { shape, cells: Data::Real(self.into_reals().into_iter().map(|value| value * factor).collect()) }
    }
}

/// A real number that is a whole one, and small enough that nothing of it is lost.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// Whether an object is one of ASE's cells, which are arrays with a name.
fn is_cell(object: &Map<String, Value>) -> bool {
    object.get("__ase_objtype__").and_then(Value::as_str) == Some("cell")
}

fn is_complex(dtype: &str) -> bool {
    dtype.starts_with("complex")
}

/// The shape of an array as JSON has it, and how many elements that makes.
///
/// # Errors
/// A sentence about what is no shape.
pub(super) fn shape_of(value: &Value) -> Result<(Vec<usize>, usize), String> {
    let sizes = value.as_array().into_iter().flatten();
    let shape: Option<Vec<usize>> = sizes.map(|size| usize::try_from(size.as_u64()?).ok()).collect();
    let shape = shape.filter(|_| value.is_array());
    let count = shape.as_ref().and_then(|shape| shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size)));
    shape.zip(count).ok_or_else(|| format!("`{}` is no shape of an array", shown(value)))
}

/// The start of a value as text, for messages.
pub(super) fn shown(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// The array of `[shape, type, values]`.
fn ndarray(parts: &Value, bytes: &[u8]) -> Result<Option<Array>, String> {
    let Some([shape, dtype, values]) = parts.as_array().map(Vec::as_slice) else {
        return Err(format!("`{NDARRAY}` is `{}`, expected shape, type and values", shown(parts)));
    };
    let (mut shape, count) = shape_of(shape)?;
    let dtype = dtype.as_str().ok_or_else(|| format!("`{}` is no type of an array", shown(dtype)))?;
    if let Some(start) = values.as_u64() {
        let Some(size) = size_of(dtype) else { return Ok(None) };
        let within = count.checked_mul(size).and_then(|size| {
            let start = usize::try_from(start).ok()?;
            bytes.get(start..start.checked_add(size)?)
        });
        let missing =
            || format!("an array of {count} {dtype} from byte {start} on is not within {} bytes", bytes.len());
        return Ok(Array::of_bytes(dtype, shape, within.ok_or_else(missing)?, true));
    }
    let Some(values) = values.as_array() else {
        return Err(format!("the values of an array are `{}`, expected a list", shown(values)));
    };
    if is_complex(dtype) {
        shape.push(2);
    }
    let count = if is_complex(dtype) { count.checked_mul(2) } else { Some(count) };
    if count != Some(values.len()) {
        return Err(format!("an array of shape {shape:?} has {} values", values.len()));
    }
    Ok(numbers(&values.iter().collect::<Vec<_>>()).map(|cells| Array { shape, cells }))
}

/// The array that nested lists are, if all lists of a level are equally long and hold numbers in the end.
fn nested(value: &Value) -> Option<Array> {
    let mut shape = Vec::new();
    let mut level = Some(value);
    while let Some(Value::Array(list)) = level {
        shape.push(list.len());
        level = list.first();
    }
    let mut leaves = Vec::new();
    collect(value, &shape, &mut leaves)?;
    Some(Array { cells: numbers(&leaves)?, shape })
}

fn collect<'a>(value: &'a Value, shape: &[usize], leaves: &mut Vec<&'a Value>) -> Option<()> {
    match (value, shape) {
        (Value::Array(list), [size, inner @ ..]) if list.len() == *size => {
            list.iter().try_for_each(|item| collect(item, inner, leaves))
        }
        (Value::Array(_), _) | (_, [_, ..]) => None,
        (leaf, []) => {
            leaves.push(leaf);
            Some(())
        }
    }
}

/// The cells of values that are numbers of a kind; null is a number that is not there.
fn numbers(values: &[&Value]) -> Option<Data> {
    if !values.is_empty() {
        if let Some(cells) = values.iter().map(|value| value.as_bool()).collect() {
            return Some(Data::Logical(cells));
        }
        if let Some(cells) = values.iter().map(|value| value.as_i64()).collect() {
            return Some(Data::Integer(cells));
        }
    }
    let real = |value: &&Value| if value.is_null() { Some(f64::NAN) } else { value.as_f64() };
    values.iter().map(real).collect::<Option<_>>().map(Data::Real)
}

/// Bytes of a number of one of NumPy's types, if it is one that we read.
pub(super) fn size_of(dtype: &str) -> Option<usize> {
    Some(match dtype {
        "bool" | "int8" | "uint8" => 1,
        "int16" | "uint16" => 2,
        "float32" | "int32" | "uint32" => 4,
        "float64" | "int64" | "uint64" | "complex64" => 8,
        "complex128" => 16,
        _ => return None,
    })
}

fn cells(dtype: &str, bytes: &[u8], little_endian: bool) -> Option<Data> {
    Some(match dtype {
        "float64" | "complex128" => Data::Real(each(bytes, little_endian, f64::from_le_bytes)),
        "float32" | "complex64" => Data::Real(each(bytes, little_endian, |of| f32::from_le_bytes(of).into())),
        "int64" => Data::Integer(each(bytes, little_endian, i64::from_le_bytes)),
        "int32" => Data::Integer(each(bytes, little_endian, |of| i32::from_le_bytes(of).into())),
        "int16" => Data::Integer(each(bytes, little_endian, |of| i16::from_le_bytes(of).into())),
        "int8" => Data::Integer(each(bytes, little_endian, |of| i8::from_le_bytes(of).into())),
        "uint64" => Data::Real(each(bytes, little_endian, |of| u64::from_le_bytes(of) as f64)),
        "uint32" => Data::Integer(each(bytes, little_endian, |of| u32::from_le_bytes(of).into())),
        "uint16" => Data::Integer(each(bytes, little_endian, |of| u16::from_le_bytes(of).into())),
        "uint8" => Data::Integer(each(bytes, little_endian, |of| u8::from_le_bytes(of).into())),
        "bool" => Data::Logical(each(bytes, little_endian, |[byte]| byte != 0)),
        _ => return None,
    })
}

/// The numbers of `N` bytes that follow each other.
fn each<const N: usize, T>(bytes: &[u8], little_endian: bool, of: fn([u8; N]) -> T) -> Vec<T> {
    let (numbers, _) = bytes.as_chunks::<N>();
    let turned = |&(mut number): &[u8; N]| {
        number.reverse();
        of(number)
    };
    if little_endian {
        numbers.iter().map(|&number| of(number)).collect()
    } else {
        numbers.iter().map(turned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Option<(Vec<usize>, Data)> {
        Array::of_json(&value, &[1, 0, 2, 0, 3, 0]).unwrap().map(|array| (array.shape, array.cells))
    }

    #[test]
    fn both_ways_of_writing_an_array() {
        let expected = Some((vec![2, 1], Data::Real(vec![0.5, 2.0])));
        assert_eq!(read(json!([[0.5], [2]])), expected);
        assert_eq!(read(json!({"__ndarray__": [[2, 1], "float64", [0.5, 2.0]]})), expected);
        assert_eq!(read(json!([3, 4])), Some((vec![2], Data::Integer(vec![3, 4]))));
        assert_eq!(read(json!([true, false])), Some((vec![2], Data::Logical(vec![true, false]))));
        assert_eq!(read(json!({"__ndarray__": [[], "int64", [7]]})), Some((vec![], Data::Integer(vec![7]))));
        assert_eq!(read(json!(7.5)), Some((vec![], Data::Real(vec![7.5]))));
        assert_eq!(read(json!([])), Some((vec![0], Data::Real(vec![]))));
        assert_eq!(read(json!([[], []])), Some((vec![2, 0], Data::Real(vec![]))));
        let complex = json!({"__ndarray__": [[1], "complex128", [0.5, -1.0]]});
        assert_eq!(read(complex), Some((vec![1, 2], Data::Real(vec![0.5, -1.0]))));
        let cell = json!({"array": {"__ndarray__": [[1, 1], "float64", [2.0]]}, "__ase_objtype__": "cell"});
        assert_eq!(read(cell), Some((vec![1, 1], Data::Real(vec![2.0]))));
        let bytes = json!({"__ndarray__": [[2], "int16", 2]});
        assert_eq!(read(bytes), Some((vec![2], Data::Integer(vec![2, 3]))));
    }

    #[test]
    fn null_is_a_number_that_is_not_there() {
        let array = |value| Array::of_json(&value, &[]).unwrap().unwrap();
        assert!(array(json!([[null, null], [null, null]])).is_missing());
        assert!(array(json!([])).is_missing());
        assert!(!array(json!([null, 1.0])).is_missing());
        assert!(array(json!([null, 1])).into_reals()[0].is_nan());
    }

    #[test]
    fn what_is_no_array_of_numbers_is_none() {
        for value in [
            json!("text"),
            json!(null),
            json!(["a", "b"]),
            json!([[1], [2, 3]]),
            json!([1, [2]]),
            json!([[1], 2]),
            json!([true, 1]),
            json!({"a": 1}),
            json!({"array": [1]}),
            json!({"__ndarray__": [[2], "<U1", ["a", "b"]]}),
            json!({"__ndarray__": [[2], "str32", 0]}),
        ] {
            assert_eq!(read(value.clone()), None, "{value}");
        }
    }

    #[test]
    fn arrays_that_are_not_as_large_as_they_claim() {
        let huge = u64::MAX;
        for (value, expected) in [
            (json!({"__ndarray__": [[2, 2], "float64", [1.0]]}), "shape [2, 2] has 1 values"),
            (json!({"__ndarray__": [[1], "complex128", [1.0]]}), "shape [1, 2] has 1 values"),
            (json!({"__ndarray__": [[2], "float64"]}), "expected shape, type and values"),
            (json!({"__ndarray__": [[-2], "float64", []]}), "no shape"),
            (json!({"__ndarray__": [2, "float64", []]}), "no shape"),
            (json!({"__ndarray__": [[huge, huge], "float64", []]}), "no shape"),
            (json!({"__ndarray__": [[huge], "float64", 0]}), "not within 6 bytes"),
            (json!({"__ndarray__": [[4], "int16", 0]}), "4 int16 from byte 0 on is not within 6 bytes"),
            (json!({"__ndarray__": [[1], "int16", huge]}), "not within 6 bytes"),
            (json!({"__ndarray__": [[1], 4, []]}), "no type"),
            (json!({"__ndarray__": [[1], "int16", "a"]}), "expected a list"),
        ] {
            let message = Array::of_json(&value, &[0; 6]).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn numbers_of_all_types_in_either_order_of_bytes() {
        let both = |dtype: &str, little: &[u8]| {
            let big: Vec<u8> = little.iter().rev().copied().collect();
            let array = Array::of_bytes(dtype, vec![1], little, true).unwrap();
            assert_eq!(Array::of_bytes(dtype, vec![1], &big, false).unwrap(), array, "{dtype}");
            assert_eq!(size_of(dtype), Some(little.len()));
            array.into_reals()[0]
        };
        assert_eq!(both("float64", &(-1.5f64).to_le_bytes()), -1.5);
        assert_eq!(both("float32", &(-1.5f32).to_le_bytes()), -1.5);
        assert_eq!(both("int64", &(-3i64).to_le_bytes()), -3.0);
        assert_eq!(both("int32", &(-3i32).to_le_bytes()), -3.0);
        assert_eq!(both("int16", &(-3i16).to_le_bytes()), -3.0);
        assert_eq!(both("int8", &(-3i8).to_le_bytes()), -3.0);
        assert_eq!(both("uint64", &3u64.to_le_bytes()), 3.0);
        assert_eq!(both("uint32", &3u32.to_le_bytes()), 3.0);
        assert_eq!(both("uint16", &3u16.to_le_bytes()), 3.0);
        assert_eq!(both("uint8", &[3]), 3.0);
        assert_eq!(both("bool", &[1]), 1.0);
        assert_eq!(size_of("float16"), None);
        assert_eq!(Array::of_bytes("float16", vec![1], &[0, 0], true), None);
    }
}
