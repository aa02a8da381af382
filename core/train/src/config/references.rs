//! The value of `references`: a word, or an energy for each element.

use std::collections::BTreeMap;
use std::fmt;

use isograd_structure::Element;
use serde::de::{self, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Where the reference energies of a source are from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ReferenceEnergies {
    /// A word.
    Word(ReferenceOrigin),
    /// Energies in eV per atom.
    Given(BTreeMap<Element, f64>),
}

/// The words that may stand for reference energies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceOrigin {
    /// Fitted to the energies that are trained on.
    Fit,
    /// Those of the model that training starts from; of elements that it does not know, fitted to what these leave.
    Start,
    /// The energies of structures of one atom without neighbours, which are not trained on.
    IsolatedAtoms,
}

impl<'de> Deserialize<'de> for ReferenceEnergies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrTable)
    }
}

/// Reads a word or a table, so that what is wrong in a table is said of its member.
struct WordOrTable;

impl<'de> Visitor<'de> for WordOrTable {
    type Value = ReferenceEnergies;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"fit\", \"start\", \"isolated_atoms\" or energies such as {{ H = -13.6, O = -432.1 }}")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<ReferenceEnergies, E> {
        ReferenceOrigin::deserialize(word.into_deserializer()).map(ReferenceEnergies::Word)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<ReferenceEnergies, A::Error> {
        let mut energies = BTreeMap::new();
        while let Some((element, energy)) = table.next_entry()? {
            energies.insert(element, energy);
        }
        Ok(ReferenceEnergies::Given(energies))
    }
}
