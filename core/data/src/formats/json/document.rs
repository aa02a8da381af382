//! JSON read piece by piece: the next key, item, number or text, with errors that say what was found instead.

use std::io::Read;

use struson::reader::{
    JsonReader, JsonStreamReader, JsonSyntaxError, ReaderError, ReaderSettings, SyntaxErrorKind, ValueType,
};

use super::tokens::{NAN, Tokens};

/// Or a sentence about what is wrong.
pub(super) type Result<T> = std::result::Result<T, String>;

/// What a value is.
pub(super) type Kind = ValueType;

/// Objects and lists within one another, at most. The deepest that is read lies eight deep.
const DEEPEST: u32 = 128;

/// A stream of JSON values.
///
/// After an error nothing more can be read.
pub(super) struct Document<R: Read> {
    reader: JsonStreamReader<Tokens<R>>,
    started: bool,
}

impl<R: Read> Document<R> {
    pub(super) fn new(bytes: R) -> Self {
        let settings = ReaderSettings {
            allow_multiple_top_level: true,
            track_path: false,
            max_nesting_depth: Some(DEEPEST),
            // Numbers as small as 1e-100 are numbers.
            restrict_number_values: false,
            ..ReaderSettings::default()
        };
        Self { reader: JsonStreamReader::new_custom(Tokens::new(bytes), settings), started: false }
    }

    /// The line that is read, from 1.
    pub(super) fn line(&self) -> usize {
        let line = self.reader.current_position(false).line_pos.map_or(0, |position| position.line);
        usize::try_from(line).map_or(usize::MAX, |line| line.saturating_add(1))
    }

    /// Whether there is another value after those at the top.
    pub(super) fn has_value(&mut self) -> Result<bool> {
        if !self.started {
            self.started = true;
            return self.kind().map(|_| true);
        }
        self.reader.has_next().map_err(explained)
    }

    /// What the next value is.
    pub(super) fn kind(&mut self) -> Result<Kind> {
        self.reader.peek().map_err(explained)
    }

    pub(super) fn open_object(&mut self) -> Result<()> {
        self.reader.begin_object().map_err(explained)
    }

    pub(super) fn open_list(&mut self) -> Result<()> {
        self.reader.begin_array().map_err(explained)
    }

    /// The next key of the object, whose value is to be read or skipped; after the last, the object is closed.
    pub(super) fn next_key(&mut self) -> Result<Option<&str>> {
        if self.reader.has_next().map_err(explained)? {
            return self.reader.next_name().map(Some).map_err(explained);
        }
        self.reader.end_object().map_err(explained)?;
        Ok(None)
    }

    /// Whether the list has another item, which is to be read or skipped; after the last, the list is closed.
    pub(super) fn next_item(&mut self) -> Result<bool> {
        let more = self.reader.has_next().map_err(explained)?;
        if !more {
            self.reader.end_array().map_err(explained)?;
        }
        Ok(more)
    }

    /// Reads over a value.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.reader.skip_value().map_err(explained)
    }

    /// Reads over the rest of an object or list that was opened, and closes it.
    pub(super) fn skip_items(&mut self) -> Result<()> {
        while self.next_item()? {
            self.skip()?;
        }
        Ok(())
    }

    /// A number; `None` for `null`.
    pub(super) fn number(&mut self) -> Result<Option<f64>> {
        match self.kind()? {
            Kind::Null => self.skip().map(|()| None),
            Kind::String if self.text()? == NAN => Ok(Some(f64::NAN)),
            Kind::String => Err("expected a number, found text".into()),
            _ => {
                let text = self.reader.next_number_as_str().map_err(explained)?;
                text.parse().map(Some).map_err(|_| format!("`{}` is not a number", shown(text)))
            }
        }
    }

    /// Text.
    pub(super) fn text(&mut self) -> Result<String> {
        self.reader.next_string().map_err(explained)
    }

    /// True or false.
    pub(super) fn boolean(&mut self) -> Result<bool> {
        self.reader.next_bool().map_err(explained)
    }

    /// A list of three numbers; `None` for `null`, and where one of them is.
    pub(super) fn vector(&mut self) -> Result<Option<[f64; 3]>> {
        if self.kind()? == Kind::Null {
            return self.skip().map(|()| None);
        }
        self.open_list()?;
        let (mut vector, mut count) = ([Some(0.0); 3], 0);
        while self.next_item()? {
            let number = self.number()?;
            vector.get_mut(count).map(|slot| *slot = number).ok_or("expected three numbers, found more")?;
            count += 1;
        }
        match vector {
            _ if count < 3 => Err(format!("expected three numbers, found {count}")),
            [Some(x), Some(y), Some(z)] => Ok(Some([x, y, z])),
            _ => Ok(None),
        }
    }
}

/// The name of a kind, with an article.
pub(super) fn named(kind: Kind) -> &'static str {
    match kind {
        Kind::Array => "a list",
        Kind::Object => "an object",
        Kind::String => "text",
        Kind::Number => "a number",
        Kind::Boolean => "true or false",
        Kind::Null => "null",
    }
}

/// The beginning of a text that may be long.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

fn explained(error: ReaderError) -> String {
    match error {
        ReaderError::SyntaxError(error) => explained_syntax(&error),
        ReaderError::UnexpectedValueType { expected, actual, .. } => {
            format!("expected {}, found {}", named(expected), named(actual))
        }
        ReaderError::MaxNestingDepthExceeded { max_nesting_depth, .. } => {
            format!("has more than {max_nesting_depth} objects and lists within one another")
        }
        ReaderError::IoError { error, .. } => format!("cannot read on: {error} (is the file complete?)"),
        error => error.to_string(),
    }
}

fn explained_syntax(error: &JsonSyntaxError) -> String {
    let at = error.location.line_pos.map_or_else(String::new, |position| {
        format!(" at line {}, column {}", position.line.saturating_add(1), position.column.saturating_add(1))
    });
    match error.kind {
        SyntaxErrorKind::IncompleteDocument => format!("the file ends too early,{at}"),
        kind => format!("is not JSON{at}: {}", words(&kind.to_string())),
    }
}

/// `missing comma` of `MissingComma`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Document<&[u8]> {
        Document::new(text.as_bytes())
    }

    #[test]
    fn numbers_of_all_kinds() {
        let mut document =
            of("[1, -2.5e-150, 1e400, NaN, Infinity, -Infinity, null, 0.1000000000000000055511151231257827]");
        assert!(document.has_value().unwrap());
        document.open_list().unwrap();
        let mut numbers = Vec::new();
        while document.next_item().unwrap() {
            numbers.push(document.number().unwrap());
        }
        assert!(numbers.remove(3).unwrap().is_nan());
        let infinite = f64::INFINITY;
        let expected = [Some(1.0), Some(-2.5e-150), Some(infinite), Some(infinite), Some(-infinite), None, Some(0.1)];
        assert_eq!(numbers, expected);
        assert!(!document.has_value().unwrap());
    }

    #[test]
    fn vectors_have_three_numbers() {
        assert_eq!(of("[1, 2, 3]").vector().unwrap(), Some([1.0, 2.0, 3.0]));
        assert_eq!(of("[1, null, 3]").vector().unwrap(), None);
        assert_eq!(of("null").vector().unwrap(), None);
        for (text, expected) in [
            ("[1, 2]", "three numbers, found 2"),
            ("[1, 2, 3, 4]", "three numbers, found more"),
            ("[1, 2, \"3\"]", "expected a number, found text"),
            ("3", "expected a list, found a number"),
        ] {
            assert!(of(text).vector().unwrap_err().contains(expected), "{text}");
        }
    }

    #[test]
    fn values_follow_one_another() {
        let mut document = of("{\"a\": 1}\n\n{\"a\": 2} 3");
        let mut lines = Vec::new();
        while document.has_value().unwrap() {
            lines.push(document.line());
            document.skip().unwrap();
        }
        assert_eq!(lines, [1, 3, 3]);
    }

    #[test]
    fn what_is_wrong_and_where() {
        let deep = "[".repeat(200);
        for (text, expected) in [
            ("", "the file ends too early, at line 1, column 1"),
            ("[1,\n 2", "the file ends too early, at line 2, column 3"),
            ("[1\n 2]", "is not JSON at line 2, column 2: missing comma"),
            ("[tru]", "is not JSON at line 1, column 2: invalid literal"),
            ("[nul]", "is not JSON"),
            ("[Nothing]", "cannot read on: `o` is no JSON, expected NaN"),
            ("[1, 2, +3]", "malformed json"),
            ("[\"\\ud800\"]", "unpaired surrogate"),
            (&deep, "more than 128 objects and lists within one another"),
        ] {
            let message = of(text).skip().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
