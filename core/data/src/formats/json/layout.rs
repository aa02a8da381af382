//! The layouts that are known, and which of them a record has.

use std::fmt;

use super::document::shown;
use super::record::{Fields, Record, is_within};
use super::{alexandria, matpes, mlearn, mptrj};
use crate::formats::Frame;

/// What is wrong, and whether with the layout or with a frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// The layout is none of those that are known.
    Layout(String),
    /// Something about a frame, or about JSON itself.
    Frame(String),
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Frame(message)
    }
}

/// Where in a file a record stands. All numbers are from 0.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// In a list, or in a line of its own.
    Entry(usize),
    /// Under its material's key and its own.
    Frame { material: String, frame: String },
    /// In a step of a calculation of a material.
    Step { material: String, calculation: usize, step: usize },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(number) => write!(f, "entry {number}"),
            Self::Frame { material, frame } => write!(f, "material `{}`, frame `{}`", shown(material), shown(frame)),
            Self::Step { material, calculation, step } => {
                write!(f, "material `{}`, calculation {calculation}, step {step}", shown(material))
            }
        }
    }
}

impl Place {
    /// The labels that a record in this place may have.
    pub(super) fn known_fields(&self) -> &'static Fields {
        match self {
            Self::Entry(_) => LISTED,
            Self::Frame { .. } => &[mptrj::FIELDS],
            Self::Step { .. } => &[alexandria::STEP_FIELDS],
        }
    }
}

/// The labels of all layouts that a list may have.
const LISTED: &Fields = &[mptrj::FIELDS, matpes::FIELDS, alexandria::FIELDS, mlearn::FIELDS];

/// Whether a key is one of a record, rather than the name of a material.
pub(super) fn is_key_of_record(key: &str) -> bool {
    key == "structure" || LISTED.iter().copied().flatten().any(|field| *field == key || is_within(field, key))
}

/// A sentence about what was found where a known layout has something else.
pub(super) fn unknown(found: &str) -> Fault {
    Fault::Layout(format!(
        "is JSON of no known layout: found {found}; expected MPtrj ({{material: {{frame: {{structure, \
         uncorrected_total_energy, ..}}}}}}), MatPES (a list, or a line each, of {{structure, matpes_id, energy, ..}}), \
         Alexandria ({{entries: [ComputedStructureEntry, ..]}} or \
         {{material: [{{steps: [{{structure, energy, ..}}]}}]}}) or mlearn (a list of {{structure, outputs: {{energy, \
         ..}}}})"
    ))
}

/// The frame of a record.
pub(super) fn frame(place: &Place, record: Record) -> Result<Frame, Fault> {
    let has_outputs = mlearn::FIELDS.iter().any(|field| is_within(field, mlearn::TELLING) && record.has(field));
    let frame = match place {
        Place::Step { material, calculation, step } if record.has("energy") => {
            alexandria::step(record, material, *calculation, *step)
        }
        Place::Frame { material, frame } if record.has(mptrj::TELLING) => mptrj::frame(record, Some((material, frame))),
        Place::Entry(_) if record.has(mptrj::TELLING) => mptrj::frame(record, None),
        Place::Entry(_) if has_outputs => mlearn::frame(record),
        Place::Entry(_) if record.has(matpes::TELLING) => matpes::frame(record),
        Place::Entry(_) if alexandria::is_entry(&record) => alexandria::entry(record),
        _ => return Err(unknown(&format!("{} at {place}", record.keys()))),
    };
    frame.map_err(|message| Fault::Frame(format!("{place}: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_records_are_no_materials() {
        for key in ["structure", "matpes_id", "provenance", "outputs", "data", "ddec6", "@class", "force"] {
            assert!(is_key_of_record(key), "{key}");
        }
        for key in ["mp-1", "agm001", "entries", "energy_total", "", "mat_id"] {
            assert!(!is_key_of_record(key), "{key}");
        }
    }

    #[test]
    fn places_are_named() {
        let frame = Place::Frame { material: "mp-1".into(), frame: "é".repeat(100) };
        assert_eq!(frame.to_string(), format!("material `mp-1`, frame `{}`", "é".repeat(60)));
        let step = Place::Step { material: "agm1".into(), calculation: 1, step: 2 };
        assert_eq!(step.to_string(), "material `agm1`, calculation 1, step 2");
        assert_eq!(Place::Entry(3).to_string(), "entry 3");
    }
}
