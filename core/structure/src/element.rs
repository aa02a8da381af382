//! Chemical elements by atomic number and symbol.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const SYMBOLS: [&str; 118] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca",
    "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",
    "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce",
    "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir",
    "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc",
    "Lv", "Ts", "Og",
];

/// A chemical element, H to Og.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Element(u8);

impl Element {
    /// The element with an atomic number from 1 to 118.
    pub fn from_number(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=118).contains(number)).map(Self)
    }

    /// The atomic number, 1 to 118.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The symbol, as in `Cl`.
    pub fn symbol(self) -> &'static str {
        SYMBOLS[usize::from(self.0) - 1]
    }
}

impl FromStr for Element {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        SYMBOLS
            .iter()
            .position(|symbol| *symbol == text)
            .and_then(|index| Self::from_number(index as i64 + 1))
            .ok_or_else(|| format!("`{text}` is not the symbol of an element (expected one as in `H` or `Cl`)"))
    }
}

impl TryFrom<String> for Element {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Element> for String {
    fn from(element: Element) -> String {
        element.symbol().into()
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_symbols_agree() {
        for (symbol, number) in [("H", 1), ("C", 6), ("Cl", 17), ("Au", 79), ("Og", 118)] {
            let element: Element = symbol.parse().unwrap();
            assert_eq!(element.number(), number);
            assert_eq!(Element::from_number(number.into()), Some(element));
        }
        assert!("Xx".parse::<Element>().is_err());
        assert_eq!(Element::from_number(0), None);
        assert_eq!(Element::from_number(119), None);
    }
}
