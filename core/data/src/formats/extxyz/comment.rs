//! The comment line: `key=value` pairs with quoting, arrays and `_JSON` values.

/// A value as written, without its outer quotes; interpreted only when asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `key=value`, `key="value"`, `key={value}` or `key=[value]`: the text inside.
    Text(String),
    /// A key that stands alone, which means true.
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

/// The keys and values of a comment line, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comment(Vec<(String, Value)>);

impl Comment {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets `key`, in its old place if it was there.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let value = Value::Text(value.into());
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

    /// Parses a comment line. A plain-XYZ comment without any `=` gives lone keys.
    ///
    /// # Errors
    /// A sentence about the first quote or bracket that is not closed.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        let mut rest = line.trim();
        while !rest.is_empty() {
            let (key, after) = parse_key(rest)?;
            let after = after.trim_start();
            let value = match after.strip_prefix('=') {
                Some(after) => {
                    let (text, after) = parse_value(after.trim_start()).map_err(|e| format!("key `{key}`: {e}"))?;
                    rest = after;
                    Value::Text(text)
                }
                None => {
                    rest = after;
                    Value::Flag
                }
            };
            // ASE keeps the last of two equal keys.
            pairs.retain(|(name, _)| *name != key);
            pairs.push((key, value));
            rest = rest.trim_start();
        }
        Ok(Self(pairs))
    }
}

fn parse_key(text: &str) -> Result<(String, &str), String> {
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    let end = text.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(text.len());
    if end == 0 {
        return Err("a value without a key, expected `key=value`".into());
    }
    Ok((text[..end].to_owned(), &text[end..]))
}

fn parse_value(text: &str) -> Result<(String, &str), String> {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(text, quote),
        Some('{') => bracketed(text, '{', '}'),
        Some('[') => bracketed(text, '[', ']'),
        _ => {
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            Ok((text[..end].to_owned(), &text[end..]))
        }
    }
}

/// Text in quotes; a backslash keeps the next character as it is (`\n` is a line break).
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, escaped)) => out.push(escaped),
                None => break,
            },
            c if c == quote => return Ok((out, &text[at + c.len_utf8()..])),
            c => out.push(c),
        }
    }
    Err(format!("the quote {quote} is not closed"))
}

/// Text in nested brackets, brackets kept.
fn bracketed(text: &str, open: char, close: char) -> Result<(String, &str), String> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                let end = at + c.len_utf8();
                return Ok((text[..end].to_owned(), &text[end..]));
            }
        }
    }
    Err(format!("the bracket {open} is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_a_value() {
        let line = r#"a=1.5 b="two words" c='x y' d={1 2 3} e=[1, 2, 3] flag "q k"=7 f="_JSON [[1, 2], [3, 4]]" g="say \"hi\"" h=T a_b = 3"#;
        let comment = Comment::parse(line).unwrap();
        assert_eq!(comment.get("a").unwrap().number(), Some(1.5));
        assert_eq!(comment.get("b").unwrap().text(), "two words");
        assert_eq!(comment.get("c").unwrap().text(), "x y");
        assert_eq!(comment.get("d").unwrap().numbers(), Some(vec![1.0, 2.0, 3.0]));
        assert_eq!(comment.get("e").unwrap().numbers(), Some(vec![1.0, 2.0, 3.0]));
        assert_eq!(comment.get("flag").unwrap(), &Value::Flag);
        assert_eq!(comment.get("q k").unwrap().number(), Some(7.0));
        assert_eq!(comment.get("f").unwrap().numbers(), Some(vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(comment.get("g").unwrap().text(), "say \"hi\"");
        assert_eq!(comment.get("h").unwrap().booleans(), Some(vec![true]));
        assert_eq!(comment.get("a_b").unwrap().number(), Some(3.0));
        assert_eq!(comment.get("b").unwrap().number(), None);
    }

    #[test]
    fn unclosed_quotes_are_an_error() {
        for line in ["a=\"x", "a={1 2", "a=[[1]", "a='x", "\"a"] {
            assert!(Comment::parse(line).unwrap_err().contains("not closed"), "{line}");
        }
        assert!(Comment::parse("=3").is_err());
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(Comment::parse("a=1 b=2 a=3").unwrap().get("a").unwrap().number(), Some(3.0));
    }
}
