//! The value of `model.elements`: a word or a list.

use std::fmt;

use isograd_structure::Element;
use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Which elements the model knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Elements {
    /// `"auto"`.
    Word(ElementList),
    /// A list of symbols.
    List(Vec<Element>),
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrList)
    }
}

/// Reads a word or a list, so that what is wrong in a list is said of its member.
struct WordOrList;

impl<'de> Visitor<'de> for WordOrList {
    type Value = Elements;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"auto\" or a list of symbols such as [\"H\", \"O\"]")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Elements, E> {
        ElementList::deserialize(word.into_deserializer()).map(Elements::Word)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Elements, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Elements::List(elements))
    }
}

impl Default for Elements {
    fn default() -> Self {
        Self::Word(ElementList::Auto)
    }
}

/// The one word that may stand for a list of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementList {
    /// Those that occur in the data.
    Auto,
}
