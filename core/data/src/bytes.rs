//! A structure as bytes, to be held in little memory or sent to another process of the same program.

use std::borrow::Cow;
use std::collections::BTreeMap;

use isograd_structure::{Cell, Element, Geometry, Structure};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a structure is made of, atomic numbers instead of elements.
#[derive(Serialize, Deserialize)]
struct Parts<'a> {
    numbers: Vec<u8>,
    positions: Cow<'a, [[f64; 3]]>,
    cell: Option<[[f64; 3]; 3]>,
    periodic: [bool; 3],
    energy: Option<f64>,
    forces: Option<Cow<'a, [[f64; 3]]>>,
    stress: Option<[[f64; 3]; 3]>,
    columns: Cow<'a, BTreeMap<String, Vec<f64>>>,
    group: Option<Cow<'a, str>>,
    force_mask: Option<Cow<'a, [bool]>>,
    weight: Option<f64>,
}

/// A structure as bytes: 49 for each atom with forces, and a few more.
///
/// # Errors
/// [`Error::Internal`]: every structure can be written.
pub fn to_bytes(structure: &Structure) -> Result<Vec<u8>> {
    let Structure { geometry, elements, energy, forces, stress, columns, group, force_mask, weight, remarks: _ } =
        structure;
    let parts = Parts {
        numbers: elements.iter().map(|element| element.number()).collect(),
        positions: Cow::Borrowed(&geometry.positions),
        cell: geometry.cell.map(|cell| cell.0),
        periodic: geometry.periodic,
        energy: *energy,
        forces: forces.as_deref().map(Cow::Borrowed),
        stress: *stress,
        columns: Cow::Borrowed(columns),
        group: group.as_deref().map(Cow::Borrowed),
        force_mask: force_mask.as_deref().map(Cow::Borrowed),
        weight: *weight,
    };
    postcard::to_allocvec(&parts).map_err(|error| Error::Internal(format!("a structure as bytes: {error}")))
}

/// The structure that bytes are of.
///
/// # Errors
/// [`Error::Internal`] where [`to_bytes`] has not made them.
pub fn from_bytes(bytes: &[u8]) -> Result<Structure> {
    let wrong = |message: String| Error::Internal(format!("bytes of a structure: {message}"));
    let parts: Parts<'_> = postcard::from_bytes(bytes).map_err(|error| wrong(error.to_string()))?;
    let element = |&number: &u8| {
        Element::from_number(i64::from(number)).ok_or_else(|| wrong(format!("{number} is no atomic number")))
    };
    Ok(Structure {
        elements: parts.numbers.iter().map(element).collect::<Result<_>>()?,
        geometry: Geometry {
            positions: parts.positions.into_owned(),
            cell: parts.cell.map(Cell),
            periodic: parts.periodic,
        },
        energy: parts.energy,
        forces: parts.forces.map(Cow::into_owned),
        stress: parts.stress,
        columns: parts.columns.into_owned(),
        group: parts.group.map(Cow::into_owned),
        force_mask: parts.force_mask.map(Cow::into_owned),
        weight: parts.weight,
        remarks: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_comes_back_from_its_bytes() {
        let whole = Structure {
            elements: vec![Element::from_number(1).unwrap(), Element::from_number(118).unwrap()],
            geometry: Geometry {
                positions: vec![[0.1, -0.0, f64::MIN_POSITIVE], [1e300, 2.0, 3.0]],
                cell: Some(Cell([[4.0, 0.0, 0.5], [0.0, 5.0, 0.0], [0.0, 0.25, 6.0]])),
                periodic: [true, false, true],
            },
            energy: Some(-1.25),
            forces: Some(vec![[0.5; 3], [-0.5; 3]]),
            stress: Some([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]]),
            columns: [("charges".into(), vec![0.5, -0.5])].into(),
            group: Some("dimer".into()),
            force_mask: Some(vec![true, false]),
            weight: Some(0.25),
            remarks: Vec::new(),
        };
        for structure in [whole, Structure::default()] {
            let bytes = to_bytes(&structure).unwrap();
            assert_eq!(from_bytes(&bytes).unwrap(), structure);
            assert!(from_bytes(&bytes[..bytes.len() - 1]).is_err());
        }
        let atoms = vec![Element::from_number(6).unwrap(); 100];
        let positions = vec![[1.0; 3]; 100];
        let forces = Some(positions.clone());
        let geometry = Geometry { positions, ..Geometry::default() };
        let carbon = Structure { elements: atoms, geometry, forces, ..Structure::default() };
        assert!(to_bytes(&carbon).unwrap().len() < 4920);
    }
}
