//! The `Properties` key: which per-atom columns a frame has, and their parsed content.

use super::comment::parse_boolean;

/// The cells of a column, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Type `R`.
    Real(Vec<f64>),
    /// Type `I`.
    Integer(Vec<i64>),
    /// Type `S`.
    Text(Vec<String>),
    /// Type `L`.
    Logical(Vec<bool>),
}

impl Data {
    /// The format's one-letter name of the type.
    pub fn letter(&self) -> char {
        match self {
            Self::Real(_) => 'R',
            Self::Integer(_) => 'I',
            Self::Text(_) => 'S',
            Self::Logical(_) => 'L',
        }
    }

    pub(super) fn push(&mut self, word: &str) -> Result<(), String> {
        match self {
            Self::Real(cells) => {
                cells.push(word.parse().map_err(|_| format!("`{word}` is not a number"))?);
            }
            Self::Integer(cells) => {
                cells.push(word.parse().map_err(|_| format!("`{word}` is not an integer"))?);
            }
            Self::Text(cells) => cells.push(word.to_owned()),
            Self::Logical(cells) => {
                cells.push(parse_boolean(word).ok_or_else(|| format!("`{word}` is neither T nor F"))?);
            }
        }
        Ok(())
    }
}

/// One entry of `Properties`: a name, a number of values per atom, and the values.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name, as in `pos`.
    pub name: String,
    /// Values per atom.
    pub width: usize,
    /// The values, `[atoms * width]`.
    pub data: Data,
}

impl Column {
    /// A real column of three values per atom.
    pub fn vectors(name: &str, vectors: &[[f64; 3]]) -> Self {
        Self { name: name.into(), width: 3, data: Data::Real(vectors.as_flattened().to_vec()) }
    }

    /// The column's numbers, row by row, if it has numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match &self.data {
            Data::Real(values) => Some(values.clone()),
            Data::Integer(values) => Some(values.iter().map(|&value| value as f64).collect()),
            Data::Text(_) | Data::Logical(_) => None,
        }
    }

    /// The column as vectors, if it is numeric with three values per atom.
    pub fn as_vectors(&self) -> Option<Vec<[f64; 3]>> {
        let numbers = self.numbers().filter(|_| self.width == 3)?;
        Some(numbers.as_chunks::<3>().0.to_vec())
    }
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
