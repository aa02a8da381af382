//! The `Properties` key: which per-atom columns a frame has, and their cells as they are written.

use crate::formats::header::{parse_boolean, parse_number};
use crate::formats::{Column, Data};

/// The format's one-letter name of a type.
pub(super) fn letter(data: &Data) -> char {
    match data {
        Data::Real(_) => 'R',
        Data::Integer(_) => 'I',
        Data::Text(_) => 'S',
        Data::Logical(_) => 'L',
    }
}

/// Adds a cell to a column.
pub(super) fn push(data: &mut Data, word: &str) -> Result<(), String> {
    match data {
        Data::Real(cells) => {
            cells.push(parse_number(word).ok_or_else(|| format!("`{word}` is not a number"))?);
        }
        Data::Integer(cells) => {
            cells.push(word.parse().map_err(|_| format!("`{word}` is not an integer"))?);
        }
        Data::Text(cells) => cells.push(word.to_owned()),
        Data::Logical(cells) => {
            cells.push(parse_boolean(word).ok_or_else(|| format!("`{word}` is neither T nor F"))?);
        }
    }
    Ok(())
}

/// Parses `species:S:1:pos:R:3` into empty columns.
pub(super) fn parse_properties(text: &str) -> Result<Vec<Column>, String> {
    const FORM: &str = "expected name:type:count triples as in species:S:1:pos:R:3";
    let words: Vec<&str> = text.split(':').collect();
    if !words.len().is_multiple_of(3) {
        return Err(format!("Properties `{text}`: {FORM}"));
    }
    let mut columns: Vec<Column> = Vec::new();
    for triple in words.chunks(3) {
        let data = match triple[1] {
            "R" => Data::Real(Vec::new()),
            "I" => Data::Integer(Vec::new()),
            "S" => Data::Text(Vec::new()),
            "L" => Data::Logical(Vec::new()),
            other => return Err(format!("Properties: `{other}` is no column type (R, I, S or L); {FORM}")),
        };
        let width = triple[2].parse().ok().filter(|width| (1..=4096).contains(width));
        let width =
            width.ok_or_else(|| format!("Properties: `{}` is no column count (1 to 4096); {FORM}", triple[2]))?;
        if columns.iter().any(|column| column.name == triple[0]) {
            return Err(format!("Properties names the column `{}` twice", triple[0]));
        }
        columns.push(Column { name: triple[0].to_owned(), width, data });
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_properties_are_explained() {
        for (text, expected) in [
            ("species:S", "triples"),
            ("pos:X:3", "no column type"),
            ("pos:R:0", "no column count"),
            ("pos:R:3:pos:R:3", "twice"),
        ] {
            assert!(parse_properties(text).unwrap_err().contains(expected), "{text}");
        }
        assert_eq!(parse_properties("species:S:1:pos:R:3").unwrap().len(), 2);
    }
}
