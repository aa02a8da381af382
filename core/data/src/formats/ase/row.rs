//! Rows of databases as JSON, as databases in LMDB have them.
//!
//! ASE writes an array as `{"__ndarray__": [shape, type, flat list]}`; others write nested lists, with null for what is
//! no number. Both are read, whichever stands where.

use serde_json::Value;

use super::array::{Array, shown};
use super::atoms::{Atoms, is_property};
pub(in crate::formats) use super::json::parse;
use crate::formats::Frame;

/// What a row has that no frame needs.
const LEFT_OUT: [&str; 6] = ["masses", "momenta", "calculator_parameters", "ctime", "mtime", "user"];

/// What is read in a place of its own.
const STRUCTURE: [&str; 7] = ["numbers", "positions", "cell", "pbc", "constraints", "key_value_pairs", "data"];

/// The frame of a row.
///
/// # Errors
/// A sentence about what is wrong, which names the key.
pub(in crate::formats) fn frame(row: &Value) -> Result<Frame, String> {
    let entries = row.as_object().ok_or_else(|| format!("a row is `{}`, expected a dictionary", shown(row)))?;
    let needed = |key: &str| array(row, key)?.ok_or_else(|| format!("a row without `{key}`"));
    let mut atoms = Atoms::new(needed("numbers")?, needed("positions")?)?;
    atoms.put_in_cell(array(row, "cell")?, periodic(array(row, "pbc")?)?)?;
    for (name, value) in entries.iter().filter(|(name, _)| !STRUCTURE.contains(&name.as_str())) {
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if !is_property(name) {
            atoms.note("row", name, value, &[])?;
        } else if let Some(array) = array(row, name)? {
            atoms.property(name, array)?;
        }
    }
    atoms.constrain(row.get("constraints").unwrap_or(&Value::Null))?;
    for origin in ["key_value_pairs", "data"] {
        atoms.notes(origin, row.get(origin).unwrap_or(&Value::Null), &[])?;
    }
    Ok(atoms.into_frame())
}

/// The array under a key, if there is one and it is not null.
fn array(row: &Value, key: &str) -> Result<Option<Array>, String> {
    match row.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let array = Array::of_json(value, &[]).map_err(|message| format!("`{key}`: {message}"))?;
            array.map(Some).ok_or_else(|| format!("`{key}` is `{}`, expected an array of numbers", shown(value)))
        }
    }
}

/// Which directions repeat: one truth value for all, or three; none if nothing is said.
pub(super) fn periodic(array: Option<Array>) -> Result<[bool; 3], String> {
    let Some(array) = array else { return Ok([false; 3]) };
    let size = array.size();
    match array.into_booleans().as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[a, b, c]) => Ok([a, b, c]),
        _ => Err(format!("`pbc` is of size {size}, expected three truth values")),
    }
}
