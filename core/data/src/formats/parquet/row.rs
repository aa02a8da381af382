//! The cells of a row as numbers, texts and lists of them.
//!
//! A null is a missing value, and so is a list with a null in it: half a label is none. Lists may be written as text,
//! as older releases of ColabFit have them: in JSON, or as Python prints them, `[[0.0, 1.5], [True, None]]`.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type,
};
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch};
use arrow_schema::DataType;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::formats::Frame;

/// A row of a batch.
pub(super) struct Row<'a> {
    batch: &'a RecordBatch,
    index: usize,
}

impl<'a> Row<'a> {
    /// The row at a place that the batch has.
    pub(super) fn new(batch: &'a RecordBatch, index: usize) -> Self {
        Self { batch, index }
    }

    /// The column, if it is there and its cell is not null.
    fn cell(&self, name: &str) -> Option<&'a ArrayRef> {
        let there = |column: &&ArrayRef| {
            *column.data_type() != DataType::Null && self.index < column.len() && column.is_valid(self.index)
        };
        self.batch.column_by_name(name).filter(there)
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, String> {
        let Some(column) = self.cell(name) else { return Ok(None) };
        let numbers = numbers(&column.slice(self.index, 1)).ok_or_else(|| unlike(name, column, "a number"))?;
        Ok(numbers.first().copied().flatten())
    }

    /// A text, which may be a whole number: some ids are.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(column) = self.cell(name) else { return Ok(None) };
        if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
            return Ok(Some(numbers.value(self.index).to_string()));
        }
        let texts = column.as_string_opt::<i32>().ok_or_else(|| unlike(name, column, "text"))?;
        Ok(Some(texts.value(self.index).to_owned()))
    }

    /// A list of texts as one, or a text as it is.
    pub(super) fn words(&self, name: &str) -> Result<Option<String>, String> {
        match self.cell(name) {
            Some(column) if column.as_list_opt::<i32>().is_some() => {
                Ok(self.texts(name)?.map(|texts| texts.join(", ")).filter(|text| !text.is_empty()))
            }
            _ => self.text(name),
        }
    }

    /// True or false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        let Some(column) = self.cell(name) else { return Ok(None) };
        let flags = column.as_boolean_opt().ok_or_else(|| unlike(name, column, "true or false"))?;
        Ok(Some(flags.value(self.index)))
    }

    /// A list of numbers.
    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<f64>>, String> {
        Ok(self.list(name, "a list of numbers", numbers)?.and_then(|list| list.into_iter().collect()))
    }

    /// A list of whole numbers.
    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, String> {
        let Some(numbers) = self.numbers(name)? else { return Ok(None) };
        match numbers.iter().find(|number| number.fract() != 0.0) {
            Some(number) => Err(format!("column `{name}` has {number}, expected whole numbers")),
            None => Ok(Some(numbers.into_iter().map(|number| number as i64).collect())),
        }
    }

    /// A list of true or false.
    pub(super) fn flags(&self, name: &str) -> Result<Option<Vec<bool>>, String> {
        let flags = |list: &ArrayRef| Some(list.as_boolean_opt()?.iter().collect::<Vec<_>>());
        Ok(self.list(name, "a list of true or false", flags)?.and_then(|list| list.into_iter().collect()))
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let texts = |list: &ArrayRef| Some(list.as_string_opt::<i32>()?.iter().map(text).collect::<Vec<_>>());
        Ok(self.list(name, "a list of texts", texts)?.and_then(|list| list.into_iter().collect()))
    }

    /// A list of vectors.
    pub(super) fn vectors(&self, name: &str) -> Result<Option<Vec<[f64; 3]>>, String> {
        Ok(self.vectors_or_nulls(name)?.and_then(|vectors| vectors.into_iter().collect()))
    }

    /// Three vectors.
    pub(super) fn square(&self, name: &str) -> Result<Option<[[f64; 3]; 3]>, String> {
        let Some(vectors) = self.vectors(name)? else { return Ok(None) };
        let count = vectors.len();
        vectors.try_into().map(Some).map_err(|_| format!("column `{name}` has {count} vectors, expected 3"))
    }

    /// A list of vectors, in place of which there may be nulls, or nulls in them.
    pub(super) fn vectors_or_nulls(&self, name: &str) -> Result<Option<Vec<Option<[f64; 3]>>>, String> {
        let lists = self.list(name, "a list of lists of numbers", |list| Lists::new(list.as_list_opt::<i32>()?));
        let Some(lists) = lists? else { return Ok(None) };
        let vectors = lists.iter().map(|list| list.map_or(Ok(None), vector)).collect::<Result<_, _>>();
        vectors.map(Some).map_err(|count| format!("column `{name}` has a vector of {count} numbers, expected 3"))
    }

    /// The frame with the forces of a column. An empty list is what some writers make of a missing one.
    pub(super) fn with_forces(&self, frame: Frame, name: &str) -> Result<Frame, String> {
        let Some(forces) = self.vectors(name)?.filter(|forces| !forces.is_empty()) else { return Ok(frame) };
        self.has_atoms(name, forces.len(), frame.atoms)?;
        Ok(frame.with_vectors("forces", &forces))
    }

    /// Whether a column speaks of as many atoms as there are.
    pub(super) fn has_atoms(&self, name: &str, count: usize, atoms: usize) -> Result<(), String> {
        if count == atoms { Ok(()) } else { Err(format!("column `{name}` is of {count} atoms, expected {atoms}")) }
    }

    /// A list, from a list or from text; `expected` stands in the error about anything else.
    fn list<T: DeserializeOwned>(
        &self,
        name: &str,
        expected: &str,
        of_array: impl Fn(&ArrayRef) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(column) = self.cell(name) else { return Ok(None) };
        if let Some(lists) = column.as_list_opt::<i32>() {
            return of_array(&lists.value(self.index)).map(Some).ok_or_else(|| unlike(name, column, expected));
        }
        let texts = column.as_string_opt::<i32>().ok_or_else(|| unlike(name, column, expected))?;
        let text = texts.value(self.index);
        serde_json::from_str(&in_json(text)).map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            format!("column `{name}` has the text `{shown}`, expected {expected}")
        })
    }
}

/// Lists of numbers, any of which may be null.
#[derive(Deserialize)]
#[serde(from = "Vec<Option<Vec<Option<f64>>>>")]
struct Lists {
    numbers: Vec<Option<f64>>,
    /// Where each of them lies, if it is there.
    ranges: Vec<Option<Range<usize>>>,
}

impl Lists {
    /// The lists of an array, if they are of numbers.
    fn new(lists: &ListArray) -> Option<Self> {
        let offsets = lists.value_offsets();
        let (first, last) = (*offsets.first()? as usize, *offsets.last()? as usize);
        let numbers = numbers(&lists.values().slice(first, last - first))?;
        let range = |(place, ends): (usize, &[i32])| {
            lists.is_valid(place).then(|| ends[0] as usize - first..ends[1] as usize - first)
        };
        Some(Self { numbers, ranges: offsets.windows(2).enumerate().map(range).collect() })
    }

    fn iter(&self) -> impl Iterator<Item = Option<&[Option<f64>]>> {
        self.ranges.iter().map(|range| range.clone().map(|range| &self.numbers[range]))
    }
}

impl From<Vec<Option<Vec<Option<f64>>>>> for Lists {
    fn from(lists: Vec<Option<Vec<Option<f64>>>>) -> Self {
        let mut numbers = Vec::new();
        let ranges = lists.into_iter().map(|list| {
            let first = numbers.len();
            list.map(|list| numbers.extend(list)).map(|()| first..numbers.len())
        });
        Self { ranges: ranges.collect(), numbers }
    }
}

/// A vector, if none of its numbers is null; an error is the count of its numbers.
fn vector(numbers: &[Option<f64>]) -> Result<Option<[f64; 3]>, usize> {
    let &[x, y, z] = numbers else { return Err(numbers.len()) };
    Ok(x.zip(y).zip(z).map(|((x, y), z)| [x, y, z]))
}

fn unlike(name: &str, column: &ArrayRef, expected: &str) -> String {
    format!("column `{name}` is of the type {}, expected {expected}", column.data_type())
}

/// Python's words for what JSON has words for too.
fn in_json(text: &str) -> String {
    text.replace("True", "true").replace("False", "false").replace("None", "null")
}

/// Numbers of any kind, if they are numbers.
fn numbers(array: &ArrayRef) -> Option<Vec<Option<f64>>> {
    fn of<T: ArrowPrimitiveType>(array: &ArrayRef, number: fn(T::Native) -> f64) -> Option<Vec<Option<f64>>> {
        Some(array.as_primitive_opt::<T>()?.iter().map(|value| value.map(number)).collect())
    }
    match array.data_type() {
        DataType::Float64 => of::<Float64Type>(array, |value| value),
        DataType::Float32 => of::<Float32Type>(array, f64::from),
        DataType::Int8 => of::<Int8Type>(array, f64::from),
        DataType::Int16 => of::<Int16Type>(array, f64::from),
        DataType::Int32 => of::<Int32Type>(array, f64::from),
        DataType::Int64 => of::<Int64Type>(array, |value| value as f64),
        DataType::UInt8 => of::<UInt8Type>(array, f64::from),
        DataType::UInt16 => of::<UInt16Type>(array, f64::from),
        DataType::UInt32 => of::<UInt32Type>(array, f64::from),
        // Where there is nothing but nulls, there may be no other type.
        DataType::Null => Some(vec![None; array.len()]),
        _ => None,
    }
}
