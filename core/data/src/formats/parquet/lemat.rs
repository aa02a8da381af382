//! Columns of LeMat-Bulk, LeMat-BulkUnique and LeMat-Traj, whose structures are in those of OPTIMADE: a row is a
//! material, or a step of its relaxation.
//!
//! | column | becomes |
//! |---|---|
//! | `species_at_sites`, `cartesian_site_positions` | elements and positions, in angstrom |
//! | `lattice_vectors`, `dimension_types` | the cell, in angstrom, and where it repeats (1) or not (0) |
//! | `energy`, `energy_corrected` | keys of these names, in eV |
//! | `forces` | `forces`, in eV/angstrom |
//! | `stress_tensor` | `stress`: of **kbar with compression positive**, minus so many eV/angstrom^3 |
//! | `magnetic_moments` | `magmoms` |
//! | `immutable_id`, `id`, `functional`, `relaxation_step`, `relaxation_number` | keys of these names |
//!
//! LeMat's own description does not give the unit and the sign of a stress. What it collects does: the fetcher that it
//! is made with takes the stresses of the Materials Project, of Alexandria and of OQMD as they are there, as VASP
//! prints them. A public comparison of 359 of its structures with a conservative potential has found the same unit, and
//! the same sign.

use isograd_structure::{Element, StressUnit};

use super::layout::Layout;
use super::row::Row;
use crate::formats::{Data, Frame};

pub(super) const LAYOUT: Layout = Layout {
    name: "LeMat",
    required: &["lattice_vectors", "cartesian_site_positions", "species_at_sites", "immutable_id", "functional"],
    columns: &[
        "lattice_vectors",
        "cartesian_site_positions",
        "species_at_sites",
        "dimension_types",
        "nsites",
        "energy",
        "energy_corrected",
        "forces",
        "stress_tensor",
        "magnetic_moments",
        "immutable_id",
        "id",
        "functional",
        "relaxation_step",
        "relaxation_number",
    ],
    frame,
};

fn frame(row: &Row<'_>) -> Result<Frame, String> {
    let species = row.texts("species_at_sites")?.ok_or("column `species_at_sites` is null")?;
    let elements: Vec<Element> = species.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let positions = row.vectors("cartesian_site_positions")?.ok_or("column `cartesian_site_positions` is null")?;
    row.has_atoms("cartesian_site_positions", positions.len(), elements.len())?;
    if let Some(sites) = row.number("nsites")? {
        row.has_atoms("nsites", sites as usize, elements.len())?;
    }
    let mut frame = Frame::of_atoms(&elements, &positions);
    let periodic = match row.integers("dimension_types")?.as_deref() {
        None => [true; 3],
        Some(types @ &[a, b, c]) if types.iter().all(|kind| matches!(kind, 0 | 1)) => [a, b, c].map(|kind| kind == 1),
        Some(other) => return Err(format!("column `dimension_types` is {other:?}, expected three of 0 or 1")),
    };
    if periodic.contains(&true) {
        frame = frame.with_cell(&lattice(row, periodic)?, periodic);
    }
    for name in ["energy", "energy_corrected", "relaxation_step", "relaxation_number"] {
        if let Some(number) = row.number(name)? {
            frame = frame.with(name, number);
        }
    }
    frame = row.with_forces(frame, "forces")?;
    if let Some(stress) = row.square("stress_tensor")? {
        let unit = -StressUnit::Kilobar.in_ev_per_cubic_angstrom();
        frame = frame.with("stress", stress.map(|row| row.map(|v| v * unit)).as_flattened());
    }
    if let Some(moments) = row.numbers("magnetic_moments")?.filter(|moments| !moments.is_empty()) {
        row.has_atoms("magnetic_moments", moments.len(), elements.len())?;
        frame = frame.with_column("magmoms", Data::Real(moments));
    }
    for name in ["immutable_id", "id", "functional"] {
        if let Some(text) = row.text(name)? {
            frame = frame.with(name, text);
        }
    }
    Ok(frame)
}

/// The lattice vectors. One of a direction without a period may be null, and is zero then, as in ASE.
fn lattice(row: &Row<'_>, periodic: [bool; 3]) -> Result<[[f64; 3]; 3], String> {
    let vectors = row.vectors_or_nulls("lattice_vectors")?.unwrap_or_default();
    let three: [Option<[f64; 3]>; 3] =
        vectors.try_into().map_err(|_| "column `lattice_vectors` has not three vectors".to_owned())?;
    let mut lattice = [[0.0; 3]; 3];
    for ((own, vector), periodic) in lattice.iter_mut().zip(three).zip(periodic) {
        match vector {
            Some(vector) => *own = vector,
            None if periodic => return Err("column `lattice_vectors` is null where `dimension_types` is 1".into()),
            None => {}
        }
    }
    Ok(lattice)
}
