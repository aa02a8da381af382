//! MatPES (matpes.ai, `MatPES-PBE-2025.1.json.gz` and its like): a list, or a line each, of `{"structure", "energy",
//! "forces", "stress", "matpes_id", "functional", "bandgap", "cohesive_energy_per_atom", "formation_energy_per_atom",
//! "bader_charges", "bader_magmoms", "cm5_partial_charges", "ddec6": {"partial_charges", "spin_moments", ..},
//! "provenance": {"original_mp_id", ..}, ..}`.
//!
//! - `stress` has six numbers in kbar, in the order xx yy zz yz xz xy (so the set's own page); the sign is VASP's,
//!   compression positive (so its models, which are trained on `stress` times -0.1 as GPa).
//! - `cohesive_energy_per_atom` and `formation_energy_per_atom` are per atom, `energy` is the total.
//! - Charges are `null` where their calculation failed; a label is left out then.
//! - `original_mp_id` is a group that a split can hold together; `matpes_id` is one of each frame.
//! - An object is of this layout by its `matpes_id`: without it, `stress` might be in any unit.

use super::document::Result;
use super::labels::{Labels, VOIGT};
use super::record::Record;
use crate::formats::Frame;

/// The label that no other layout has.
pub(super) const TELLING: &str = "matpes_id";

/// What is read of an entry.
pub(super) const FIELDS: &[&str] = &[
    TELLING,
    "functional",
    "provenance.original_mp_id",
    "energy",
    "forces",
    "stress",
    "bandgap",
    "cohesive_energy_per_atom",
    "formation_energy_per_atom",
    "bader_charges",
    "bader_magmoms",
    "cm5_partial_charges",
    "ddec6.partial_charges",
    "ddec6.spin_moments",
];

/// Columns that keep their name.
const COLUMNS: [&str; 5] =
    ["bader_charges", "bader_magmoms", "cm5_partial_charges", "ddec6.partial_charges", "ddec6.spin_moments"];

/// A frame.
pub(super) fn frame(record: Record) -> Result<Frame> {
    let mut labels = Labels::of(record)?
        .text(TELLING, TELLING)?
        .text("functional", "functional")?
        .text("original_mp_id", "provenance.original_mp_id")?
        .number("energy", "energy")?
        .vectors("forces", "forces")?
        .stress("stress", Some(VOIGT))?;
    for field in ["bandgap", "cohesive_energy_per_atom", "formation_energy_per_atom"] {
        labels = labels.number(field, field)?;
    }
    for field in COLUMNS {
        labels = labels.column(field, field)?;
    }
    Ok(labels.frame())
}
