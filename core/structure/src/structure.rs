//! A structure: atoms, cell and labels in this program's units.

use std::collections::BTreeMap;

use crate::{Element, Geometry};

/// One labelled configuration, in eV, angstrom, eV/angstrom and eV/angstrom^3.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Structure {
    /// Positions, cell and periodicity.
    pub geometry: Geometry,
    /// Elements, one per atom.
    pub elements: Vec<Element>,
    /// Total energy in eV.
    pub energy: Option<f64>,
    /// Forces in eV/angstrom, one per atom.
    pub forces: Option<Vec<[f64; 3]>>,
    /// On which atoms the force is a label: false of those that were held in place, say; all where there is none.
    pub force_mask: Option<Vec<bool>>,
    /// Stress in eV/angstrom^3, tension positive.
    pub stress: Option<[[f64; 3]; 3]>,
    /// Other numbers that a task or a model asks for, by name: of the whole, or of each atom one row after the other.
    pub columns: BTreeMap<String, Vec<f64>>,
    /// Which structures must stay on one side of the train/validation split.
    pub group: Option<String>,
    /// What it counts in the loss, in relation to others; one where there is none.
    pub weight: Option<f64>,
    /// What whoever reads it should be told, in sentences.
    pub remarks: Vec<&'static str>,
}

impl AsRef<Self> for Structure {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Structure {
    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are no atoms.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Whether the force on an atom is a label, atom by atom.
    pub fn is_labelled(&self) -> impl Iterator<Item = bool> + '_ {
        let mask = self.force_mask.as_deref();
        (0..self.len()).map(move |atom| self.forces.is_some() && mask.is_none_or(|mask| mask[atom]))
    }

    /// Components of forces that are labels.
    pub fn labelled_forces(&self) -> impl Iterator<Item = f64> + '_ {
        let forces = self.forces.iter().flatten().zip(self.is_labelled());
        forces.filter(|(_, is_labelled)| *is_labelled).flat_map(|(force, _)| *force)
    }

    /// The chemical formula in Hill order: carbon, hydrogen, then by symbol.
    pub fn formula(&self) -> String {
        let mut counts = BTreeMap::new();
        for element in &self.elements {
            *counts.entry(element.symbol()).or_insert(0usize) += 1;
        }
        let carbon = counts.contains_key("C");
        let mut parts: Vec<_> = counts.into_iter().collect();
        parts.sort_by_key(|(symbol, _)| match *symbol {
            "C" => (0, *symbol),
            "H" if carbon => (1, *symbol),
            _ => (2, *symbol),
        });
        parts
            .into_iter()
            .map(|(symbol, count)| if count == 1 { symbol.to_owned() } else { format!("{symbol}{count}") })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forces_that_are_masked_are_no_labels() {
        let carbon = || "C".parse().unwrap();
        let mut own = Structure { elements: vec![carbon(), carbon()], ..Default::default() };
        assert!(own.is_labelled().eq([false, false]));
        own.forces = Some(vec![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert!(own.labelled_forces().eq([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        own.force_mask = Some(vec![false, true]);
        assert!(own.is_labelled().eq([false, true]) && own.labelled_forces().eq([4.0, 5.0, 6.0]));
    }

    #[test]
    fn formulas_are_in_hill_order() {
        let formula = |symbols: &[&str]| {
            let elements = symbols.iter().map(|symbol| symbol.parse().unwrap()).collect();
            Structure { elements, ..Default::default() }.formula()
        };
        assert_eq!(formula(&["H", "O", "H"]), "H2O");
        assert_eq!(formula(&["N", "H", "C", "H", "H", "O", "C"]), "C2H3NO");
    }
}
