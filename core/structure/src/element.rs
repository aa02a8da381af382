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

/// Standard atomic weights in daltons (IUPAC 2016, Pure Appl. Chem. 88, 265; one number where they are intervals), and of
/// elements without a stable isotope the mass of the one that lives longest.
#[rustfmt::skip]
const MASSES: [f64; 118] = [
    1.008, 4.0026, 6.94, 9.0122, 10.81, 12.011, 14.007, 15.999, 18.9984, 20.1797, 22.9898, 24.305, 26.9815, 28.085,
    30.9738, 32.06, 35.45, 39.948, 39.0983, 40.078, 44.9559, 47.867, 50.9415, 51.9961, 54.938, 55.845, 58.9332,
    58.6934, 63.546, 65.38, 69.723, 72.63, 74.9216, 78.971, 79.904, 83.798, 85.4678, 87.62, 88.9058, 91.224, 92.9064,
    95.95, 97.9072, 101.07, 102.9055, 106.42, 107.8682, 112.414, 114.818, 118.71, 121.76, 127.6, 126.9045, 131.293,
    132.9055, 137.327, 138.9055, 140.116, 140.9077, 144.242, 144.9128, 150.36, 151.964, 157.25, 158.9254, 162.5,
    164.9303, 167.259, 168.9342, 173.054, 174.9668, 178.49, 180.9479, 183.84, 186.207, 190.23, 192.217, 195.084,
    196.9666, 200.592, 204.38, 207.2, 208.9804, 208.9824, 209.9872, 222.0176, 223.0197, 226.0254, 227.0277, 232.0377,
    231.0359, 238.0289, 237.0482, 244.0642, 243.0614, 247.0703, 247.0703, 251.0796, 252.083, 257.0951, 258.0984,
    259.101, 262.11, 267.122, 268.126, 271.134, 270.133, 269.1338, 278.156, 281.165, 281.166, 285.177, 286.182,
    289.19, 289.194, 293.204, 293.208, 294.214,
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

    /// The mass of an atom in daltons, as isotopes occur on earth.
    pub fn mass(self) -> f64 {
        MASSES[usize::from(self.0) - 1]
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
