//! A store as an input like any other: its graphs as frames, for what reads frames.

use std::path::Path;

use isograd_structure::Structure;

use super::Store;
use crate::formats::{Data, Format, Frame, Frames, Input};
use crate::{Error, Result};

/// A packed store.
#[derive(Debug, Clone, Copy)]
pub struct PackedStore;

impl Format for PackedStore {
    fn name(&self) -> &'static str {
        "store"
    }

    fn recognises(&self, _: &[u8]) -> bool {
        false
    }

    fn recognises_folder(&self, folder: &Path) -> bool {
        Store::is_at(folder)
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let store = Store::open(input.path()?)?;
        Ok(Box::new((0..store.len()).map(move |graph| {
            let frame = frame(&store.structure(graph)?);
            let frame = frame.map_err(Error::frame(store.folder().display().to_string(), 0, graph))?;
            Ok(Frame { index: graph, converted_from: Some("eV and angstrom"), ..frame })
        })))
    }
}

fn frame(structure: &Structure) -> Result<Frame, String> {
    let Structure { geometry, elements, energy, forces, stress, columns, group, force_mask, weight, remarks: _ } =
        structure;
    if geometry.positions.len() != elements.len() {
        return Err(format!("{} positions of {} atoms", geometry.positions.len(), elements.len()));
    }
    let mut frame = Frame::of_atoms(elements, &geometry.positions);
    if let Some(cell) = &geometry.cell {
        frame = frame.with_cell(&cell.0, geometry.periodic);
    }
    if let Some(energy) = energy {
        frame = frame.with("energy", *energy);
    }
    if let Some(forces) = forces {
        frame = frame.with_vectors("forces", forces);
    }
    if let Some(stress) = stress {
        frame = frame.with("stress", stress.as_flattened());
    }
    if let Some(group) = group {
        frame = frame.with("group", group.as_str());
    }
    if let Some(mask) = force_mask {
        frame = frame.with_column("force_mask", Data::Logical(mask.clone()));
    }
    if let Some(weight) = weight {
        frame = frame.with("weight", *weight);
    }
    for (name, numbers) in columns {
        // Whether they are of the whole or of each atom is not stored: who asks for them knows.
        frame = frame.with(name, numbers.as_slice());
        if !numbers.is_empty() && !elements.is_empty() && numbers.len().is_multiple_of(elements.len()) {
            frame = frame.with_columns(name, numbers.len() / elements.len(), Data::Real(numbers.clone()));
        }
    }
    Ok(frame)
}
