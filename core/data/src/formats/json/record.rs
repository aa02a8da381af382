//! An object with a structure and its labels. Of the labels those are kept that some layout knows, an inner object's by
//! a dotted name (`outputs.energy`); all others are read over.

use std::fmt;
use std::io::Read;

use super::document::{Document, Kind, Result, named, shown};
use super::structure;
use super::tokens::NAN;
use crate::formats::Frame;

/// Names of labels, by layout.
pub(super) type Fields = [&'static [&'static str]];

/// Names of keys that an error shows.
const SHOWN_KEYS: usize = 12;

/// What an object says.
#[derive(Default)]
pub(super) struct Record {
    /// The structure, with what its sites have.
    pub(super) structure: Option<Frame>,
    fields: Vec<(&'static str, Value)>,
    keys: Keys,
    line: usize,
}

impl Record {
    /// An object that begins in a line, from 1.
    pub(super) fn beginning(line: usize) -> Self {
        Self { line, ..Self::default() }
    }

    /// Reads an object, of whose labels `known` are kept.
    pub(super) fn read<R: Read>(document: &mut Document<R>, known: &Fields) -> Result<Self> {
        document.open_object()?;
        let mut record = Self::beginning(document.line());
        while let Some(key) = document.next_key()? {
            let key = key.to_owned();
            record.read_value(&key, document, known)?;
        }
        Ok(record)
    }

    /// Reads the value of a key.
    pub(super) fn read_value<R: Read>(&mut self, key: &str, document: &mut Document<R>, known: &Fields) -> Result<()> {
        self.keys.note(key);
        let kind = document.kind().map_err(|message| format!("`{}`: {message}", shown(key)))?;
        if key == "structure" && kind == Kind::Object {
            let read = structure::read(document).map_err(|message| format!("`structure`: {message}"))?;
            self.structure = Some(read);
            return Ok(());
        }
        self.read_field(key, document, known)
    }

    fn read_field<R: Read>(&mut self, name: &str, document: &mut Document<R>, known: &Fields) -> Result<()> {
        if document.kind()? == Kind::Object && known.iter().copied().flatten().any(|field| is_within(field, name)) {
            document.open_object()?;
            while let Some(key) = document.next_key()? {
                let inner = format!("{name}.{key}");
                self.read_field(&inner, document, known)?;
            }
            return Ok(());
        }
        let Some(&name) = known.iter().copied().flatten().find(|field| **field == name) else { return document.skip() };
        let value = Value::read(document).map_err(|message| format!("`{name}`: {message}"))?;
        // The last of two equal keys counts, as in Python.
        self.fields.retain(|(field, _)| *field != name);
        self.fields.push((name, value));
        Ok(())
    }

    /// Notes a key whose value is read over.
    pub(super) fn note(&mut self, key: &str) {
        self.keys.note(key);
    }

    /// The line in which it begins, from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Its keys, to be shown.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether it has a structure, or a label that is kept, be it `null`.
    pub(super) fn is_known(&self) -> bool {
        self.structure.is_some() || !self.fields.is_empty()
    }

    /// Whether it has a label, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| *field == name)
    }

    /// The value of a label that is there, and not `null`.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.fields.iter().find(|(field, _)| *field == name)?;
        (!matches!(value, Value::Nothing)).then_some(value)
    }
}

/// Whether a field is one of an inner object.
pub(super) fn is_within(field: &str, object: &str) -> bool {
    field.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'))
}

/// The value of a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `null`.
    Nothing,
    Number(f64),
    Text(String),
    /// A list of numbers.
    Row(Numbers),
    /// A list of lists of so many numbers.
    Rows(usize, Numbers),
}

/// Numbers, or nothing if one of them is `null`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Numbers(Option<Vec<f64>>);

impl Numbers {
    fn new() -> Self {
        Self(Some(Vec::new()))
    }

    fn push(&mut self, number: Option<f64>) {
        match (&mut self.0, number) {
            (Some(numbers), Some(number)) => numbers.push(number),
            _ => self.0 = None,
        }
    }

    pub(super) fn all(&self) -> Option<&[f64]> {
        self.0.as_deref()
    }
}

impl Value {
    fn read<R: Read>(document: &mut Document<R>) -> Result<Self> {
        match document.kind()? {
            Kind::Array => Self::read_list(document),
            Kind::Boolean => document.boolean().map(|yes| Self::Text(yes.to_string())),
            Kind::String => Ok(Self::of_text(document.text()?)),
            Kind::Number | Kind::Null => Ok(document.number()?.map_or(Self::Nothing, Self::Number)),
            Kind::Object => Err("expected a number, text or numbers, found an object".into()),
        }
    }

    fn of_text(text: String) -> Self {
        if text == NAN { Self::Number(f64::NAN) } else { Self::Text(text) }
    }

    /// Numbers, or lists of as many numbers each.
    fn read_list<R: Read>(document: &mut Document<R>) -> Result<Self> {
        document.open_list()?;
        if !document.next_item()? {
            return Ok(Self::Row(Numbers::new()));
        }
        let mut numbers = Numbers::new();
        if document.kind()? != Kind::Array {
            numbers.push(document.number()?);
            while document.next_item()? {
                numbers.push(document.number()?);
            }
            return Ok(Self::Row(numbers));
        }
        let (mut rows, width) = (1, read_row(document, &mut numbers)?);
        while document.next_item()? {
            let found = read_row(document, &mut numbers)?;
            if found != width {
                return Err(format!("row {rows} has {found} numbers, the first has {width}"));
            }
            rows += 1;
        }
        Ok(Self::Rows(rows, numbers))
    }

    /// What it is, in words.
    pub(super) fn described(&self) -> String {
        let listed = |numbers: &Numbers| match numbers.all() {
            Some(all) => format!("{} numbers", all.len()),
            None => "numbers and null".to_owned(),
        };
        match self {
            Self::Nothing => "null".into(),
            Self::Number(number) => format!("`{number}`"),
            Self::Text(text) => format!("`{}`", shown(text)),
            Self::Row(numbers) => listed(numbers),
            Self::Rows(rows, numbers) => format!("{rows} rows of together {}", listed(numbers)),
        }
    }
}

/// Reads a list of numbers, and counts them.
fn read_row<R: Read>(document: &mut Document<R>, numbers: &mut Numbers) -> Result<usize> {
    if document.kind()? != Kind::Array {
        return Err(format!("expected a list of numbers, found {}", named(document.kind()?)));
    }
    let mut count = 0;
    document.open_list()?;
    while document.next_item()? {
        numbers.push(document.number()?);
        count += 1;
    }
    Ok(count)
}

/// The first keys of an object, and how many it has.
#[derive(Debug, Default)]
pub(super) struct Keys {
    first: Vec<String>,
    count: usize,
}

impl Keys {
    pub(super) fn note(&mut self, key: &str) {
        self.count += 1;
        if self.first.len() < SHOWN_KEYS {
            self.first.push(shown(key));
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() {
            return f.write_str("an object without keys");
        }
        write!(f, "an object with the keys `{}`", self.first.join("`, `"))?;
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Value> {
        Value::read(&mut Document::new(text.as_bytes()))
    }

    fn numbers(all: &[f64]) -> Numbers {
        Numbers(Some(all.to_vec()))
    }

    #[test]
    fn values_of_every_form() {
        for (text, expected) in [
            ("null", Value::Nothing),
            ("1.5", Value::Number(1.5)),
            ("\"a\\u00e9\"", Value::Text("aé".into())),
            ("true", Value::Text("true".into())),
            ("[]", Value::Row(numbers(&[]))),
            ("[1, 2]", Value::Row(numbers(&[1.0, 2.0]))),
            ("[1, null]", Value::Row(Numbers(None))),
            ("[[1, 2], [3, 4]]", Value::Rows(2, numbers(&[1.0, 2.0, 3.0, 4.0]))),
            ("[[1, 2], [null, 4]]", Value::Rows(2, Numbers(None))),
            ("[[], []]", Value::Rows(2, numbers(&[]))),
        ] {
            assert_eq!(value(text).unwrap(), expected, "{text}");
        }
        assert!(matches!(value("NaN").unwrap(), Value::Number(number) if number.is_nan()));
        for (text, expected) in [
            ("[1, [2]]", "expected a number, found a list"),
            ("[[1], 2]", "expected a list of numbers, found a number"),
            ("[[1, 2], [3]]", "row 1 has 1 numbers, the first has 2"),
            ("[[[1]]]", "found a list"),
            ("[\"1\"]", "expected a number, found text"),
            ("{}", "found an object"),
        ] {
            let message = value(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn labels_are_kept_by_name_and_the_last_of_two_counts() {
        let text = r#"{"a": 1, "b": {"a": 2, "c": [1, 2], "d": {"a": 9}}, "e": [{"a": 1}], "a": 3, "f": null}"#;
        let record = Record::read(&mut Document::new(text.as_bytes()), &[&["a", "b.c"], &["b.d.a", "f", "g"]]).unwrap();
        assert_eq!(record.get("a"), Some(&Value::Number(3.0)));
        assert_eq!(record.get("b.c"), Some(&Value::Row(numbers(&[1.0, 2.0]))));
        assert_eq!(record.get("b.d.a"), Some(&Value::Number(9.0)));
        assert!(record.has("f") && record.get("f").is_none() && !record.has("g") && !record.has("b"));
        assert_eq!(record.keys().to_string(), "an object with the keys `a`, `b`, `e`, `a`, `f`");
    }

    #[test]
    fn many_keys_are_counted() {
        let mut keys = Keys::default();
        assert_eq!(keys.to_string(), "an object without keys");
        (0..20).for_each(|key| keys.note(&key.to_string()));
        assert!(keys.to_string().ends_with("`10`, `11` and 8 more"), "{keys}");
    }
}
