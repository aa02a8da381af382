//! The comment line: `key=value` pairs with quoting, arrays and `_JSON` values.

use crate::formats::{Header, Value};

/// Parses a comment line. A plain-XYZ comment without any `=` gives lone keys; one that cannot be understood, and has nothing
/// in it that looks like a pair, gives one lone key.
///
/// # Errors
/// A sentence about the first quote or bracket that is not closed.
pub(super) fn parse_comment(line: &str) -> Result<Header, String> {
    parse_pairs(line).or_else(|message| {
        if line.split_whitespace().any(has_key) {
            return Err(message);
        }
        let mut header = Header::default();
        header.set(line.trim(), Value::Flag);
        Ok(header)
    })
}

/// Whether a word begins with a name and `=`.
fn has_key(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    let mut characters = name.chars();
    characters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn parse_pairs(line: &str) -> Result<Header, String> {
    let mut header = Header::default();
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
        header.remove(&key);
        header.set(&key, value);
        rest = rest.trim_start();
    }
    Ok(header)
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
        let comment = parse_comment(line).unwrap();
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
        for line in ["a=\"x", "a={1 2", "a=[[1]", "a='x", "\"a b=3", "title \"x energy=1.5"] {
            assert!(parse_comment(line).unwrap_err().contains("not closed"), "{line}");
        }
    }

    #[test]
    fn a_comment_that_is_no_list_of_keys_is_kept_as_it_is() {
        for line in ["== step 1 ==", "title \"unfinished", "=3", "a water molecule's \"ground"] {
            let header = parse_comment(&format!(" {line}\n")).unwrap();
            assert_eq!(header.iter().collect::<Vec<_>>(), [(line, &Value::Flag)]);
        }
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(parse_comment("a=1 b=2 a=3").unwrap().get("a").unwrap().number(), Some(3.0));
    }
}
