//! Alexandria (alexandria.icams.rub.de), relaxed crystals and their relaxations.
//!
//! Crystals (`alexandria_*.json.bz2`): `{"entries": [..]}`, or the list alone, of pymatgen's `ComputedStructureEntry`:
//! `{"@class", "structure", "energy", "correction", "entry_id", "data": {"mat_id", "energy_total", "energy_corrected",
//! "e_form", "e_above_hull", "band_gap_ind", "band_gap_dir", "total_mag", "stress", ..}}`. Forces, magnetic moments and
//! charges are properties of the structure's sites.
//!
//! Relaxations (`geo_opt_paths`): `{material: [{"functional", "kpoints", .., "steps": [{"structure", "energy",
//! "forces", "stress"}]}]}`, where a material's calculations follow one another.
//!
//! What is relied on, since the set's pages do not say all of it:
//!
//! - `energy` is the uncorrected total: `energy_total` where an entry's data have it, else the entry's own `energy`,
//!   which pymatgen defines as uncorrected. `correction` and `energy_corrected` keep their names; so does the entry's
//!   energy, as `entry_energy`, where it is not the total.
//! - `stress` of a step is VASP's, as pymatgen's `Vasprun` reads it: kbar, three rows of three, compression positive.
//!   Public converters multiply by -0.1 to get GPa; and relaxed crystals have components of some 0.05, too much for
//!   eV/angstrom^3.
//! - `stress` of an entry is not read: its unit is documented nowhere, and of a relaxed crystal it says little.
//! - A force with a component that is `null` is missing, and with it the forces of the step.
//! - Crystals of one or two dimensions repeat in all three: the vacuum between their images is in the cell.

use super::document::Result;
use super::labels::Labels;
use super::record::{Record, Value};
use crate::formats::Frame;

/// The key of the list of entries.
pub(super) const ENTRIES: &str = "entries";

/// The key of the steps of a calculation.
pub(super) const STEPS: &str = "steps";

/// What is read of an entry.
pub(super) const FIELDS: &[&str] = &[
    "@class",
    "energy",
    "correction",
    "entry_id",
    "data.mat_id",
    "data.energy_total",
    "data.energy_corrected",
    "data.e_form",
    "data.e_above_hull",
    "data.band_gap_ind",
    "data.band_gap_dir",
    "data.total_mag",
    "data.forces",
];

/// What is read of a step.
pub(super) const STEP_FIELDS: &[&str] = &["energy", "forces", "stress"];

/// Whether a record is an entry.
pub(super) fn is_entry(record: &Record) -> bool {
    matches!(record.get("@class"), Some(Value::Text(class)) if class == "ComputedStructureEntry")
}

/// A frame of an entry.
pub(super) fn entry(record: Record) -> Result<Frame> {
    let mut labels = Labels::of(record)?.text("entry_id", "entry_id")?.text("mat_id", "data.mat_id")?;
    labels = match (labels.record().get("energy"), labels.record().get("data.energy_total")) {
        (_, None) => labels.number("energy", "energy")?,
        (own, total) if own == total => labels.number("energy", "data.energy_total")?,
        _ => labels.number("energy", "data.energy_total")?.number("entry_energy", "energy")?,
    };
    labels = labels.number("correction", "correction")?.vectors("forces", "data.forces")?;
    for key in ["energy_corrected", "e_form", "e_above_hull", "band_gap_ind", "band_gap_dir", "total_mag"] {
        labels = labels.number(key, &format!("data.{key}"))?;
    }
    Ok(labels.frame())
}

/// A frame of a step; `material` is the key of its calculations, which are counted from 0 as their steps are.
pub(super) fn step(record: Record, material: &str, calculation: usize, step: usize) -> Result<Frame> {
    let labels = Labels::of(record)?
        .named("mat_id", material)
        .named("calculation", &calculation.to_string())
        .named("step", &step.to_string())
        .number("energy", "energy")?
        .vectors("forces", "forces")?
        .stress("stress", None)?;
    Ok(labels.frame())
}
