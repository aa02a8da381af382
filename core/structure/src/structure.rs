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
    /// Stress in eV/angstrom^3, tension positive.
    pub stress: Option<[[f64; 3]; 3]>,
    /// Other numbers that a task or a model asks for, by name: of the whole, or of each atom one row after the other.
    pub columns: BTreeMap<String, Vec<f64>>,
    /// Which structures must stay on one side of the train/validation split.
    pub group: Option<String>,
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
    fn formulas_are_in_hill_order() {
        let formula = |symbols: &[&str]| {
            let elements = symbols.iter().map(|symbol| symbol.parse().unwrap()).collect();
            Structure { elements, ..Default::default() }.formula()
        };
        assert_eq!(formula(&["H", "O", "H"]), "H2O");
        assert_eq!(formula(&["N", "H", "C", "H", "H", "O", "C"]), "C2H3NO");
    }
}
