//! Columns of the ColabFit Exchange, in eV and angstrom: a row is a configuration with what was computed for it.
//!
//! | column | becomes |
//! |---|---|
//! | `energy` | `energy`, of the whole configuration |
//! | `atomic_forces` | `forces` |
//! | `cauchy_stress` | the key `cauchy_stress`, in eV/angstrom^3; **its sign is that of the source** |
//! | other energies and the band gap | keys of their names |
//! | ids, hashes, `method`, `software`, `names`, `labels` | keys of their names |
//!
//! ColabFit fixes the unit of a stress and not its sign: sets made from VASP's output have pressure positive, others
//! tension. A stress is therefore no `stress` unless a config names it (`keys.stress`), whose author has looked at the
//! source. Where `cauchy_stress_volume_normalized` is true, ColabFit has multiplied the stress by the volume of the
//! cell, and here it is divided by it.
//!
//! Older releases write lists as text, and have columns of units, which must say what is said here.

use isograd_structure::Cell;

use super::layout::Layout;
use super::row::Row;
use crate::formats::{Frame, elements_of};

pub(super) const LAYOUT: Layout = Layout {
    name: "ColabFit",
    required: &["atomic_numbers", "positions", "cell", "pbc", "dataset_id"],
    columns: &[
        "atomic_numbers",
        "positions",
        "cell",
        "pbc",
        "nsites",
        "energy",
        "atomic_forces",
        "cauchy_stress",
        "cauchy_stress_volume_normalized",
        "formation_energy",
        "adsorption_energy",
        "atomization_energy",
        "energy_above_hull",
        "electronic_band_gap",
        "dataset_id",
        "property_id",
        "property_hash",
        "configuration_id",
        "configuration_hash",
        "method",
        "software",
        "names",
        "labels",
        "energy_unit",
        "atomic_forces_unit",
        "cauchy_stress_unit",
    ],
    frame,
};

/// Further labels, in eV.
const ENERGIES: [&str; 5] =
    ["formation_energy", "adsorption_energy", "atomization_energy", "energy_above_hull", "electronic_band_gap"];

const TEXTS: [&str; 7] =
    ["dataset_id", "property_id", "property_hash", "configuration_id", "configuration_hash", "method", "software"];

/// Columns of units, and how they may name the one unit of their label.
const UNITS: [(&str, &[&str]); 3] = [
    ("energy_unit", &["eV"]),
    ("atomic_forces_unit", &["eV/angstrom", "eV/Angstrom", "eV/A", "eV/Ang"]),
    ("cauchy_stress_unit", &["eV/angstrom^3", "eV/Angstrom^3", "eV/A^3", "eV/Ang^3"]),
];

fn frame(row: &Row<'_>) -> Result<Frame, String> {
    for (column, known) in UNITS {
        if let Some(unit) = row.text(column)?.filter(|unit| !known.contains(&unit.as_str())) {
            return Err(format!("column `{column}` is `{unit}`, expected {}", known[0]));
        }
    }
    let elements = elements_of(row.integers("atomic_numbers")?.ok_or("column `atomic_numbers` is null")?)?;
    let positions = row.vectors("positions")?.ok_or("column `positions` is null")?;
    row.has_atoms("positions", positions.len(), elements.len())?;
    if let Some(sites) = row.number("nsites")? {
        row.has_atoms("nsites", sites as usize, elements.len())?;
    }
    let mut frame = Frame::of_atoms(&elements, &positions);
    let cell = row.square("cell")?;
    let periodic = match row.flags("pbc")?.as_deref() {
        Some(&[a, b, c]) => [a, b, c],
        other => return Err(format!("column `pbc` is {other:?}, expected three of true or false")),
    };
    match &cell {
        // Of a molecule there may be a cell of zeros.
        Some(cell) if periodic.contains(&true) || cell.as_flattened().iter().any(|&v| v != 0.0) => {
            frame = frame.with_cell(cell, periodic);
        }
        None if periodic.contains(&true) => return Err("column `cell` is null, and `pbc` is not".into()),
        _ => {}
    }
    for name in ["energy"].into_iter().chain(ENERGIES) {
        if let Some(energy) = row.number(name)? {
            frame = frame.with(name, energy);
        }
    }
    frame = row.with_forces(frame, "atomic_forces")?;
    if let Some(stress) = row.square("cauchy_stress")? {
        let divisor = match row.flag("cauchy_stress_volume_normalized")? {
            Some(true) => cell.map_or(0.0, |cell| Cell(cell).volume()),
            _ => 1.0,
        };
        if !(divisor.is_finite() && divisor > 0.0) {
            return Err("column `cauchy_stress` is multiplied by the volume of a cell that has none".into());
        }
        frame = frame.with("cauchy_stress", stress.map(|row| row.map(|v| v / divisor)).as_flattened());
    }
    for name in TEXTS {
        if let Some(text) = row.text(name)? {
            frame = frame.with(name, text);
        }
    }
    for name in ["names", "labels"] {
        if let Some(words) = row.words(name)? {
            frame = frame.with(name, words);
        }
    }
    Ok(frame)
}
