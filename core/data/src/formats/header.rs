//! The keys of a frame as a whole and their values, as text that is interpreted when it is asked for.

/// A value as it is written; interpreted only when asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// What is written behind the key: one word, many, or an array.
    Text(String),
    /// Nothing is: the key stands alone, which means true.
    Flag,
}

impl Value {
    /// The text; a lone key reads as `T`.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Flag => "T",
        }
    }

    /// All numbers in the value, however they are separated or nested (`1 2`, `1, 2`,
    /// `[[1, 2], [3, 4]]`, `_JSON [1, 2]`); `None` if anything in it is not a number.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        split_array(self.text()).map(|word| word.parse().ok()).collect()
    }

    /// The single number in the value.
    pub fn number(&self) -> Option<f64> {
        self.numbers().filter(|numbers| numbers.len() == 1).map(|numbers| numbers[0])
    }

    /// All booleans in the value: `T`, `True`, `true`, `1` and their opposites.
    pub fn booleans(&self) -> Option<Vec<bool>> {
        split_array(self.text()).map(parse_boolean).collect()
    }
}

/// The words of an array, whatever brackets and commas stand around them.
fn split_array(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim_start();
    let text = text.strip_prefix("_JSON").unwrap_or(text);
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}')).filter(|word| !word.is_empty())
}

/// `T`, `True`, `true`, `1` or their opposites.
pub(super) fn parse_boolean(word: &str) -> Option<bool> {
    match word {
        "T" | "True" | "TRUE" | "true" | "1" => Some(true),
        "F" | "False" | "FALSE" | "false" | "0" => Some(false),
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
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.put(key, Value::Text(value.into()));
    }

    /// As [`Header::set`], also without a value.
    pub fn put(&mut self, key: &str, value: Value) {
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

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
