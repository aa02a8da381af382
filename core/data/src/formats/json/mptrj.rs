//! MPtrj, the relaxations of the Materials Project (figshare 23713842, one file of 12 GB):
//! `{material: {frame: {"structure", "uncorrected_total_energy", "corrected_total_energy", "energy_per_atom",
//! "ef_per_atom", "e_per_atom_relaxed", "ef_per_atom_relaxed", "force", "stress", "magmom", "bandgap", "mp_id"}}}`.
//!
//! - `energy` is the uncorrected total, of which forces and stress are the derivatives; energies with the corrections
//!   of the Materials Project, and energies per atom, keep their names.
//! - `stress` is VASP's: kbar, three rows of three, compression positive (its readers multiply by -0.1 to get GPa).
//! - `magmom` and `bandgap` are often `null`.
//! - `mp_id` and `frame_id` are the keys of the two outer objects; a split holds a material together with
//!   `group = "mp_id"`. Frames that stand in a list, or a line each, have them as labels.

use super::document::Result;
use super::labels::Labels;
use super::record::Record;
use crate::formats::Frame;

/// The label that no other layout has.
pub(super) const TELLING: &str = "uncorrected_total_energy";

/// What is read of a frame.
pub(super) const FIELDS: &[&str] = &[
    TELLING,
    "corrected_total_energy",
    "energy_per_atom",
    "ef_per_atom",
    "e_per_atom_relaxed",
    "ef_per_atom_relaxed",
    "force",
    "stress",
    "magmom",
    "bandgap",
    "mp_id",
    "frame_id",
];

/// Numbers that keep their name.
const NUMBERS: [&str; 6] = [
    "corrected_total_energy",
    "energy_per_atom",
    "ef_per_atom",
    "e_per_atom_relaxed",
    "ef_per_atom_relaxed",
    "bandgap",
];

/// A frame; `ids` are the keys of its material and of itself, where it stands under them.
pub(super) fn frame(record: Record, ids: Option<(&str, &str)>) -> Result<Frame> {
    let mut labels = Labels::of(record)?.text("mp_id", "mp_id")?.text("frame_id", "frame_id")?;
    if let Some((material, frame)) = ids {
        labels = labels.named("mp_id", material).named("frame_id", frame);
    }
    labels = labels.number("energy", TELLING)?;
    for field in NUMBERS {
        labels = labels.number(field, field)?;
    }
    Ok(labels.vectors("forces", "force")?.stress("stress", None)?.column("magmoms", "magmom")?.frame())
}
