//! Where in the text of a config something is wrong, and that place with its line and a caret below it.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::Error;

/// An error about a place in a text: its position stands behind the name of the file, its line and a caret follow the first
/// clause, and then come what was expected and the remedy.
pub(super) fn error_at(file: &str, text: &str, span: Range<usize>, message: &str) -> Error {
    let start = floor(text, span.start.min(text.len()));
    let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[begin..].lines().next().unwrap_or_default();
    let number = text[..start].matches('\n').count() + 1;
    let before = &text[begin..start];
    let end = floor(text, span.end.clamp(start, begin + line.len().max(start - begin)));
    let carets = "^".repeat(text[start..end].chars().count().max(1));
    // A tab is as wide as the one above it.
    let indent: String = before.chars().map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
    let gutter = " ".repeat(number.to_string().len());
    let (what, more) = first_clause(message);
    Error::Config {
        place: format!("{file}:{number}:{}", before.chars().count() + 1),
        message: format!("{what}\n  {number} | {line}\n  {gutter} | {indent}{carets}{more}"),
    }
}

/// The first clause of a message, and what follows it, on a line of its own: what was expected, and remedies.
fn first_clause(message: &str) -> (&str, String) {
    let message = message.trim_end();
    let expected = message.find(", expected ").map(|at| (at, at + 2));
    let next = [expected, message.find("; ").map(|at| (at, at + 2)), message.find('\n').map(|at| (at, at + 1))];
    match next.into_iter().flatten().min() {
        Some((end, start)) => (&message[..end], format!("\n{}", &message[start..])),
        None => (message, String::new()),
    }
}

/// The start of the letter that a byte belongs to.
fn floor(text: &str, mut byte: usize) -> usize {
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// A narrower place than the span of a parser's error, which may be the header of a section: the word that its message quotes,
/// where that is once in the section.
pub(super) fn narrowed(text: &str, span: Range<usize>, message: &str) -> Range<usize> {
    let is_header = text.get(span.clone()).is_some_and(|own| own.starts_with('['))
        && (span.start == 0 || text[..span.start].ends_with('\n'));
    let Some(word) = message.split('`').nth(1).filter(|word| is_header && !word.is_empty()) else { return span };
    let end = text[span.end..].find("\n[").map_or(text.len(), |end| span.end + end);
    let inside = &text[span.end..end];
    let quoted = format!("\"{word}\"");
    let found = [quoted.as_str(), word].into_iter().find_map(|word| {
        let mut places = inside.match_indices(word);
        places.next().filter(|_| places.next().is_none()).map(|(at, _)| at..at + word.len())
    });
    found.map_or(span.clone(), |found| span.end + found.start..span.end + found.end)
}

/// The place of the value of a key such as `model.width`, if the text has it; of a key without a value in the text, nothing.
/// Of keys in a list of tables the first table that has it.
pub(super) fn of_value(text: &str, path: &str) -> Option<Range<usize>> {
    let found = of(text, path)?;
    Some(if found.is_section { found.key } else { found.value })
}

/// As [`of_value`], of the key itself.
pub(super) fn of_key(text: &str, path: &str) -> Option<Range<usize>> {
    Some(of(text, path)?.key)
}

/// The place of the only value of a section that is written like this, with or without quotes.
pub(super) fn of_literal(text: &str, section: &str, literal: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let values = document.get_ref().get(section)?.get_ref().as_table()?.values().map(|value| value.span());
    let mut found = values.filter(|span| text.get(span.clone()).is_some_and(|own| own.trim_matches('"') == literal));
    found.next().filter(|_| found.next().is_none())
}

/// A key and its value in a text.
struct Found {
    key: Range<usize>,
    value: Range<usize>,
    /// Whether the value is a section or a list of sections, which may be anywhere.
    is_section: bool,
}

fn of(text: &str, path: &str) -> Option<Found> {
    let document = DeTable::parse(text).ok()?;
    let names: Vec<&str> = path.split('.').collect();
    in_table(document.get_ref(), &names)
}

fn in_table(table: &DeTable<'_>, names: &[&str]) -> Option<Found> {
    let (first, rest) = names.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    if !rest.is_empty() {
        return match value.get_ref() {
            DeValue::Table(inner) => in_table(inner, rest),
            DeValue::Array(list) => {
                let tables = list.iter().filter_map(|one| one.get_ref().as_table());
                tables.into_iter().find_map(|table| in_table(table, rest))
            }
            _ => None,
        };
    }
    let is_section = match value.get_ref() {
        DeValue::Table(_) => true,
        DeValue::Array(list) => list.iter().any(|one| one.get_ref().is_table()),
        _ => false,
    };
    Some(Found { key: key.span(), value: value.span(), is_section })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "preset = \"fast\"\n[data]\nfiles = [\"ä.xyz\"]\n[model]\n\twidth = 3\n[[data.sources]]\nname = \"a\"\n";

    fn at(path: &str) -> Option<&'static str> {
        of_value(TEXT, path).map(|span| &TEXT[span])
    }

    #[test]
    fn keys_are_found() {
        assert_eq!(at("preset"), Some("\"fast\""));
        assert_eq!(at("model.width"), Some("3"));
        assert_eq!(at("data.sources.name"), Some("\"a\""));
        assert_eq!(at("model"), Some("model"));
        assert_eq!((at("model.layers"), at("train")), (None, None));
        assert_eq!(of_literal(TEXT, "model", "3"), of_value(TEXT, "model.width"));
        assert_eq!((of_literal(TEXT, "model", "4"), of_literal(TEXT, "train", "3")), (None, None));
        assert_eq!(of_key(TEXT, "model.width").map(|span| &TEXT[span]), Some("width"));
    }

    #[test]
    fn the_line_and_a_caret_are_shown() {
        let shown = |span: Range<usize>, message: &str| error_at("c.toml", TEXT, span, message).to_string();
        let width = of_value(TEXT, "model.width").unwrap();
        let expected = "c.toml:5:10: is 3\n  5 | \twidth = 3\n    | \t        ^\nexpected 4; try it";
        assert_eq!(shown(width, "is 3, expected 4; try it"), expected);
        let file = TEXT.find("\"ä").unwrap();
        assert!(shown(file..file + 8, "no").ends_with("3 | files = [\"ä.xyz\"]\n    |          ^^^^^^^"));
        // What goes beyond the line, or lies behind the end.
        assert!(shown(file..TEXT.len(), "no").ends_with("|          ^^^^^^^^"));
        assert!(shown(TEXT.len()..TEXT.len(), "no").starts_with("c.toml:8:1: no"));
        assert!(error_at("c", "", 0..0, "no").to_string().starts_with("c:1:1: no"));
    }

    #[test]
    fn a_section_is_narrowed_to_the_word_that_is_wrong() {
        let text = "x = 1\n[task]\nkind = \"nodez\"\ny = [\"H\"]\n[model]\nwidth = 1\n";
        let header = 6..12;
        let at = |message: &str| &text[narrowed(text, header.clone(), message)];
        assert_eq!(at("unknown variant `nodez`, expected one of"), "\"nodez\"");
        assert_eq!((at("unknown field `y`"), at("`width` is elsewhere"), at("no word")), ("y", "[task]", "[task]"));
        // Values in brackets are no sections.
        assert_eq!(narrowed(text, 32..37, "`kind`"), 32..37);
    }
}
