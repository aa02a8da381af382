//! JSON as Python writes it: with the bare words `NaN`, `Infinity` and `-Infinity`.

use serde_json::Value;

/// What Python writes where JSON has no number.
const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

/// Parses JSON in which a number may be `NaN`, `Infinity` or `-Infinity`, all of which become null. Deep nesting is
/// refused.
///
/// # Errors
/// A sentence about what is no JSON, with its line and column.
pub(in crate::formats) fn parse(text: &[u8]) -> Result<Value, String> {
    let strict = serde_json::from_slice(text);
    let value = strict.or_else(|error| without_words(text).map_or(Err(error), |text| serde_json::from_slice(&text)));
    value.map_err(|error| format!("is no JSON: {error}"))
}

/// The same text with null for each of the words, if there are any.
fn without_words(text: &[u8]) -> Option<Vec<u8>> {
    let mut clean = Vec::with_capacity(text.len());
    let (mut at, mut quoted, mut found) = (0, false, false);
    while let Some(&byte) = text.get(at) {
        let word = WORDS.iter().find(|word| !quoted && text[at..].starts_with(word));
        let end = match word {
            Some(word) => at + word.len(),
            None if quoted && byte == b'\\' => text.len().min(at + 2),
            None => at + 1,
        };
        clean.extend_from_slice(if word.is_some() { b"null" } else { &text[at..end] });
        quoted ^= byte == b'"';
        found |= word.is_some();
        at = end;
    }
    found.then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_that_are_no_numbers_become_null() {
        let text = br#"{"a": [NaN, 1.5, -Infinity,Infinity], "NaN": "\"NaN, \\", "b": NaN, "c": "Infinity"}"#;
        let expected = json!({"a": [null, 1.5, null, null], "NaN": "\"NaN, \\", "b": null, "c": "Infinity"});
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse(b"-Infinity").unwrap(), Value::Null);
        assert_eq!(parse(br#"{"a": -1}"#).unwrap(), json!({"a": -1}));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[NaN", "[-NaN]", "NaNa", "[1e999]", "\"NaN", "[NaN, \"\\", "'a'", "[1] NaN"] {
            assert!(parse(text.as_bytes()).unwrap_err().starts_with("is no JSON: "), "{text}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |depth: usize| format!("{}NaN{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(deep(100).as_bytes()).is_ok());
        for depth in [200, 100_000] {
            assert!(parse(deep(depth).as_bytes()).unwrap_err().contains("recursion limit"));
            assert!(parse("{\"a\":".repeat(depth).as_bytes()).unwrap_err().contains("recursion limit"));
        }
    }
}
