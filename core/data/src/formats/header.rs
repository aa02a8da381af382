//! The keys of a frame as a whole and their values. Text is interpreted when it is asked for.

use std::borrow::Cow;

/// A value as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// What is written behind the key: one word, many, or an array.
    Text(String),
    /// Numbers, of a file that does not write them as text.
    Numbers(Vec<f64>),
    /// Nothing: the key stands alone, which means true.
    Flag,
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Numbers(vec![number])
    }
}

impl From<&[f64]> for Value {
    fn from(numbers: &[f64]) -> Self {
        Self::Numbers(numbers.to_vec())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Value {
    /// The text: of numbers the shortest that is read as the same numbers, of a lone key `T`.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Numbers(numbers) => Cow::Owned(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
            Self::Flag => Cow::Borrowed("T"),
        }
    }

    /// All numbers in the value, however they are separated or nested (`1 2`, `1, 2`,
    /// `[[1, 2], [3, 4]]`, `_JSON [1, 2]`); `None` if anything in it is not a number.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Self::Numbers(numbers) => Some(numbers.clone()),
            Self::Text(text) => split_array(text).map(parse_number).collect(),
            Self::Flag => None,
        }
    }

    /// The single number in the value.
    pub fn number(&self) -> Option<f64> {
        self.numbers().filter(|numbers| numbers.len() == 1).map(|numbers| numbers[0])
    }

    /// All booleans in the value: `T`, `true`, `.true.` in any case, `1`, and their opposites.
    pub fn booleans(&self) -> Option<Vec<bool>> {
        split_array(&self.text()).map(parse_boolean).collect()
    }
}

/// The words of an array, whatever brackets and commas stand around them.
fn split_array(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim_start();
    let text = text.strip_prefix("_JSON").unwrap_or(text);
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}')).filter(|word| !word.is_empty())
}

/// A number; its exponent may follow a `D`, as Fortran writes it in double precision.
pub(super) fn parse_number(word: &str) -> Option<f64> {
    word.parse().ok().or_else(|| {
        let (mantissa, exponent) = word.split_once(['d', 'D'])?;
        let is_number = mantissa.ends_with(|c: char| c.is_ascii_digit() || c == '.');
        is_number.then(|| format!("{mantissa}e{exponent}").parse().ok())?
    })
}

/// `T`, `true`, `.true.` in any case, `1`, or their opposites.
pub(super) fn parse_boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "t" | "true" | ".true." | "1" => Some(true),
        "f" | "false" | ".false." | "0" => Some(false),
        _ => None,
    }
}

/// The keys of a frame as a whole and their values, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header(Vec<(String, Value)>);

impl<const N: usize> From<[(&str, &str); N]> for Header {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let mut header = Self::default();
        pairs.into_iter().for_each(|(key, value)| header.set(key, value));
        header
    }
}

impl Header {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets `key`, in its old place if it was there.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some(slot) => slot.1 = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let position = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(position).1)
    }

    /// Gives the first key that `is` says yes to another name.
    pub(super) fn rename(&mut self, is: impl Fn(&str) -> bool, name: &str) {
        if let Some((key, _)) = self.0.iter_mut().find(|(key, _)| is(key)) {
            name.clone_into(key);
        }
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
