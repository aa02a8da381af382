//! Structures as pymatgen writes them: `{"@class": "Structure", "charge": .., "lattice": {"matrix": .., "pbc": ..},
//! "sites": [{"species": [{"element": .., "occu": 1}], "abc": .., "xyz": .., "properties": {..}}]}`, and a `Molecule`,
//! which has no lattice. Sites are counted from 0, as pymatgen does.
//!
//! - A site has one element, and all of it: partial occupation, several species and dummy species are errors.
//! - Oxidation states (`"oxidation_state": 2`, or `Fe2+`) are let pass. `charge` is read where there are none: else it
//!   may be no more than their sum, which no calculation knows of.
//! - Deuterium and tritium become H: an isotope has the energies and forces of its element.
//! - `xyz` counts. Where `abc` gives another point, modulo the lattice, one of the two is wrong: an error.
//! - Of a site's `properties`, `magmom`, `charge` and `forces` become the columns `magmoms`, `charges` and `forces`, if
//!   all sites have numbers there; a magnetic moment that is no number (of a non-collinear calculation) is not read.

use std::io::Read;

use isograd_structure::{Cell, Element};
use nalgebra::Matrix3;

use super::document::{Document, Kind, Result, shown};
use crate::formats::{Data, Frame};

/// How far `abc` and `xyz` may lie apart, in angstrom: they are often rounded to six digits.
const APART: f64 = 1e-3;

/// How much an occupation may differ from 1.
const OCCUPATION: f64 = 1e-6;

/// Reads a structure into a frame.
pub(super) fn read<R: Read>(document: &mut Document<R>) -> Result<Frame> {
    let (mut class, mut lattice, mut sites, mut charge, mut spin) = (None, None, None, None, None);
    document.open_object()?;
    while let Some(key) = document.next_key()? {
        match key {
            "@class" => class = Some(document.text()?),
            "lattice" => lattice = optional(document, Lattice::read).map_err(of("lattice"))?,
            "sites" => sites = Some(read_sites(document)?),
            "charge" => charge = document.number().map_err(of("charge"))?,
            "spin_multiplicity" => spin = document.number().map_err(of("spin_multiplicity"))?,
            _ => document.skip()?,
        }
    }
    let sites = sites.ok_or("no `sites`")?;
    if lattice.is_none() && !matches!(class.as_deref(), Some("Molecule" | "IMolecule")) {
        return Err("no `lattice`, and no Molecule".into());
    }
    let charge = charge.filter(|_| !sites.iter().any(|site| site.oxidised));
    let mut frame = placed(&sites, lattice.as_ref())?;
    for (key, value) in [("charge", charge), ("spin", spin)] {
        if let Some(value) = value {
            frame = frame.with(key, value);
        }
    }
    Ok(frame)
}

/// Says of which key a message is.
fn of(key: &str) -> impl FnOnce(String) -> String {
    move |message| format!("`{key}`: {message}")
}

/// What is read, unless it is `null`.
fn optional<R: Read, T>(
    document: &mut Document<R>,
    read: impl FnOnce(&mut Document<R>) -> Result<T>,
) -> Result<Option<T>> {
    if document.kind()? == Kind::Null { document.skip().map(|()| None) } else { read(document).map(Some) }
}

/// What is read, if it is of a kind.
fn of_kind<R: Read, T>(
    document: &mut Document<R>,
    kind: Kind,
    read: impl FnOnce(&mut Document<R>) -> Result<Option<T>>,
) -> Result<Option<T>> {
    if document.kind()? == kind { read(document) } else { document.skip().map(|()| None) }
}

/// The sites at their places, with what all of them have.
fn placed(sites: &[Site], lattice: Option<&Lattice>) -> Result<Frame> {
    let elements: Vec<Element> = sites.iter().map(|site| site.element).collect();
    let position = |(number, site): (usize, &Site)| {
        site.position(lattice).map_err(|message| format!("site {number} (`{}`): {message}", site.element))
    };
    let positions: Vec<[f64; 3]> = sites.iter().enumerate().map(position).collect::<Result<_>>()?;
    let mut frame = Frame::of_atoms(&elements, &positions);
    if let Some(lattice) = lattice {
        frame = frame.with_cell(&lattice.vectors.0, lattice.periodic);
    }
    if sites.is_empty() {
        return Ok(frame);
    }
    if let Some(moments) = sites.iter().map(|site| site.properties.moment).collect::<Option<Vec<_>>>() {
        frame = frame.with_column("magmoms", Data::Real(moments));
    }
    if let Some(charges) = sites.iter().map(|site| site.properties.charge).collect::<Option<Vec<_>>>() {
        frame = frame.with_column("charges", Data::Real(charges));
    }
    if let Some(forces) = sites.iter().map(|site| site.properties.force).collect::<Option<Vec<_>>>() {
        frame = frame.with_vectors("forces", &forces);
    }
    Ok(frame)
}

/// Lattice vectors, and which of them repeat.
struct Lattice {
    vectors: Cell,
    inverse: Option<Matrix3<f64>>,
    periodic: [bool; 3],
}

impl Lattice {
    fn read<R: Read>(document: &mut Document<R>) -> Result<Self> {
        let (mut vectors, mut periodic) = (None, None);
        document.open_object()?;
        while let Some(key) = document.next_key()? {
            match key {
                "matrix" => vectors = Some(three(document, Document::vector)?),
                "pbc" => periodic = optional(document, |document| three(document, Document::boolean))?,
                _ => document.skip()?,
            }
        }
        let finite = |vector: Option<[f64; 3]>| vector.filter(|vector| vector.iter().all(|number| number.is_finite()));
        let [Some(a), Some(b), Some(c)] = vectors.ok_or("no `matrix`")?.map(finite) else {
            return Err("`matrix`: expected finite numbers".into());
        };
        let vectors = Cell([a, b, c]);
        let periodic = periodic.unwrap_or([true; 3]);
        Ok(Self { vectors, inverse: vectors.matrix().try_inverse(), periodic })
    }

    /// The point with fractional coordinates.
    fn point(&self, fractional: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| (0..3).map(|k| fractional[k] * self.vectors.0[k][axis]).sum())
    }

    /// How far apart two points are, one of which may be moved by lattice vectors. NaN where one is not finite.
    fn distance(&self, one: [f64; 3], other: [f64; 3]) -> f64 {
        let between: [f64; 3] = std::array::from_fn(|axis| one[axis] - other[axis]);
        let whole = self.inverse.map_or([0.0; 3], |inverse| {
            std::array::from_fn(|k| {
                let coordinate: f64 = (0..3).map(|axis| between[axis] * inverse[(axis, k)]).sum();
                if self.periodic[k] { coordinate.round() } else { 0.0 }
            })
        });
        let moved = self.point(whole);
        (0..3).map(|axis| (between[axis] - moved[axis]).powi(2)).sum::<f64>().sqrt()
    }
}

/// A list of three.
fn three<R: Read, T>(document: &mut Document<R>, item: impl Fn(&mut Document<R>) -> Result<T>) -> Result<[T; 3]> {
    let mut items = Vec::new();
    document.open_list()?;
    while document.next_item()? {
        items.push(item(document)?);
        if items.len() > 3 {
            break;
        }
    }
    items.try_into().map_err(|items: Vec<T>| format!("expected three items, found {}", items.len()))
}

struct Site {
    element: Element,
    /// Whether its oxidation state is given.
    oxidised: bool,
    abc: Option<[f64; 3]>,
    xyz: Option<[f64; 3]>,
    properties: Properties,
}

/// What a calculation says about a site.
#[derive(Default)]
struct Properties {
    moment: Option<f64>,
    charge: Option<f64>,
    force: Option<[f64; 3]>,
}

impl Properties {
    fn read<R: Read>(document: &mut Document<R>) -> Result<Self> {
        let mut found = Self::default();
        document.open_object()?;
        while let Some(key) = document.next_key()? {
            match key {
                "magmom" => found.moment = of_kind(document, Kind::Number, Document::number)?,
                "charge" => found.charge = of_kind(document, Kind::Number, Document::number)?,
                "forces" => found.force = of_kind(document, Kind::Array, Document::vector)?,
                _ => document.skip()?,
            }
        }
        Ok(found)
    }
}

fn read_sites<R: Read>(document: &mut Document<R>) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    document.open_list().map_err(of("sites"))?;
    while document.next_item()? {
        sites.push(Site::read(document).map_err(|message| format!("site {}: {message}", sites.len()))?);
    }
    Ok(sites)
}

impl Site {
    fn read<R: Read>(document: &mut Document<R>) -> Result<Self> {
        let (mut species, mut abc, mut xyz, mut properties) = (None, None, None, None);
        document.open_object()?;
        while let Some(key) = document.next_key()? {
            match key {
                "species" => species = Some(read_species(document)?),
                "abc" => abc = document.vector().map_err(of("abc"))?,
                "xyz" => xyz = document.vector().map_err(of("xyz"))?,
                "properties" => properties = of_kind(document, Kind::Object, |d| Properties::read(d).map(Some))?,
                _ => document.skip()?,
            }
        }
        let properties = properties.unwrap_or_default();
        let (element, oxidised) = species.ok_or("no `species`")?;
        Ok(Self { element, oxidised, abc, xyz, properties })
    }

    fn position(&self, lattice: Option<&Lattice>) -> Result<[f64; 3]> {
        let point = self.abc.and_then(|abc| lattice.map(|lattice| lattice.point(abc)));
        let position = self.xyz.or(point).ok_or("neither `xyz` nor `abc` with a lattice")?;
        if !position.iter().all(|coordinate| coordinate.is_finite()) {
            return Err("its position is not finite".into());
        }
        if let (Some(point), Some(lattice)) = (point, lattice) {
            let apart = lattice.distance(position, point);
            if apart.is_nan() || apart > APART {
                return Err(format!("`abc` and `xyz` are {apart:.3} angstrom apart, expected the same point"));
            }
        }
        Ok(position)
    }
}

/// The one element of a site, and whether its oxidation state is given.
fn read_species<R: Read>(document: &mut Document<R>) -> Result<(Element, bool)> {
    let mut all = Vec::new();
    document.open_list().map_err(of("species"))?;
    while document.next_item()? {
        all.push(Species::read(document).map_err(of("species"))?);
    }
    match &all[..] {
        [] => Err("has no species".into()),
        [species] if (species.occupation - 1.0).abs() <= OCCUPATION => species.element(),
        [Species { name, occupation, .. }] => {
            Err(format!("`{}` occupies {occupation} of it, expected 1: an ordered structure", shown(name)))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|species| species.name.as_str()).collect();
            Err(format!("`{}` share it, expected one element: an ordered structure", shown(&names.join("`, `"))))
        }
    }
}

struct Species {
    name: String,
    class: String,
    oxidation: Option<f64>,
    occupation: f64,
}

impl Species {
    fn read<R: Read>(document: &mut Document<R>) -> Result<Self> {
        let (mut name, mut class, mut oxidation, mut occupation) = (None, String::new(), None, None);
        document.open_object()?;
        while let Some(key) = document.next_key()? {
            match key {
                "element" => name = Some(document.text()?),
                "@class" => class = document.text()?,
                "oxidation_state" => oxidation = document.number()?,
                "occu" => occupation = document.number()?,
                _ => document.skip()?,
            }
        }
        let (name, occupation) = (name.ok_or("no `element`")?, occupation.ok_or("no `occu`")?);
        Ok(Self { name, class, oxidation, occupation })
    }

    /// The element, and whether its oxidation state is given.
    fn element(&self) -> Result<(Element, bool)> {
        if self.class.starts_with("Dummy") {
            return Err(format!("`{}` is a dummy species, expected an element", shown(&self.name)));
        }
        let end = self.name.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(self.name.len());
        let (symbol, charge) = self.name.split_at(end);
        let digits = charge.strip_suffix(['+', '-']).unwrap_or(charge);
        if digits.chars().any(|character| !(character.is_ascii_digit() || character == '.')) || charge.len() > 8 {
            return Err(format!("`{}` is not the symbol of an element", shown(&self.name)));
        }
        let symbol = if matches!(symbol, "D" | "T") { "H" } else { symbol };
        let element = shown(symbol).parse()?;
        Ok((element, self.oxidation.is_some() || !charge.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Frame> {
        read(&mut Document::new(text.as_bytes()))
    }

    /// A structure with a lattice of 2 x 3 x 4 angstrom.
    fn with_sites(sites: &str) -> Result<Frame> {
        read_text(&format!(
            r#"{{"@class": "Structure", "lattice": {{"matrix": [[2, 0, 0], [0, 3, 0], [1, 0, 4]]}},
            "sites": [{sites}]}}"#
        ))
    }

    fn with_species(species: &str) -> Result<Frame> {
        with_sites(&format!(r#"{{"species": [{species}], "xyz": [0, 0, 0]}}"#))
    }

    fn number(frame: &Frame) -> i64 {
        match &frame.column("numbers").unwrap().data {
            Data::Integer(numbers) => numbers[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ions_and_isotopes_are_their_element() {
        for (species, expected) in [
            (r#"{"element": "Fe", "occu": 1}"#, 26),
            (r#"{"element": "Fe", "oxidation_state": 2.0, "spin": 5, "occu": 1.0}"#, 26),
            (r#"{"@class": "Species", "element": "O", "oxidation_state": -2, "occu": 1}"#, 8),
            (r#"{"element": "Fe2+", "occu": 1}"#, 26),
            (r#"{"element": "Cl-", "occu": 1}"#, 17),
            (r#"{"element": "Fe2.67+", "occu": 1}"#, 26),
            (r#"{"element": "D", "occu": 1}"#, 1),
            (r#"{"element": "D+", "occu": 1}"#, 1),
        ] {
            assert_eq!(number(&with_species(species).unwrap()), expected, "{species}");
        }
    }

    #[test]
    fn the_sum_of_oxidation_states_is_no_charge() {
        let charge = |species: &str| {
            let site = format!(r#"{{"species": [{{{species}, "occu": 1}}], "xyz": [0, 0, 0]}}"#);
            let frame = read_text(&format!(r#"{{"@class": "Molecule", "charge": 2, "sites": [{site}]}}"#)).unwrap();
            frame.header.get("charge").and_then(|value| value.number())
        };
        assert_eq!(charge(r#""element": "Fe", "oxidation_state": null"#), Some(2.0));
        assert_eq!(charge(r#""element": "Fe", "oxidation_state": 2"#), None);
        assert_eq!(charge(r#""element": "Fe2+""#), None);
    }

    #[test]
    fn a_site_has_one_element_and_all_of_it() {
        for (species, expected) in [
            ("", "site 0: has no species"),
            (r#"{"element": "Fe", "occu": 0.5}"#, "site 0: `Fe` occupies 0.5 of it, expected 1"),
            (r#"{"element": "Fe", "occu": NaN}"#, "site 0: `Fe` occupies NaN of it"),
            (r#"{"element": "Fe", "occu": 0.5}, {"element": "Ni", "occu": 0.5}"#, "site 0: `Fe`, `Ni` share it"),
            (r#"{"element": "X", "occu": 1}"#, "`X` is not the symbol of an element"),
            (r#"{"@class": "DummySpecies", "element": "D", "occu": 1}"#, "`D` is a dummy species"),
            (r#"{"element": "X0+", "occu": 1}"#, "`X` is not the symbol of an element"),
            (r#"{"element": "Fe2+x", "occu": 1}"#, "`Fe2+x` is not the symbol of an element"),
            (r#"{"element": "", "occu": 1}"#, "`` is not the symbol of an element"),
            (r#"{"occu": 1}"#, "site 0: `species`: no `element`"),
            (r#"{"element": "Fe"}"#, "site 0: `species`: no `occu`"),
            (r#"{"element": 26, "occu": 1}"#, "expected text, found a number"),
            (r#""Fe""#, "expected an object, found text"),
        ] {
            let message = with_species(species).unwrap_err();
            assert!(message.contains(expected), "{species}: {message}");
        }
    }

    #[test]
    fn positions_are_xyz_and_abc_must_agree_modulo_the_lattice() {
        let position = |coordinates: &str| {
            let frame = with_sites(&format!(r#"{{"species": [{{"element": "H", "occu": 1}}], {coordinates}}}"#))?;
            Ok::<_, String>(frame.column("pos").unwrap().as_vectors().unwrap()[0])
        };
        assert_eq!(position(r#""abc": [0.5, 0.5, 0.5]"#), Ok([1.5, 1.5, 2.0]));
        assert_eq!(position(r#""abc": [0.5, 0.5, 0.5], "xyz": [1.5, 1.5, 2.0]"#), Ok([1.5, 1.5, 2.0]));
        // A lattice vector away, and a rounding.
        assert_eq!(position(r#""xyz": [2.5, 1.5, 6.0005], "abc": [0.5, 0.5, 0.5]"#), Ok([2.5, 1.5, 6.0005]));
        for (coordinates, expected) in [
            (r#""abc": [0.5, 0.5, 0.5], "xyz": [1.5, 1.5, 2.002]"#, "0.002 angstrom apart"),
            (r#""abc": [0.5, 0.5, 0.5], "xyz": [1.5, 1.5, 1]"#, "site 0 (`H`): `abc` and `xyz` are 1.000 angstrom"),
            (r#""abc": [0.5, 0.5, NaN], "xyz": [1.5, 1.5, 0]"#, "NaN angstrom apart"),
            (r#""xyz": [1.5, 1.5, Infinity]"#, "its position is not finite"),
            (r#""xyz": [1.5, 1.5, null]"#, "neither `xyz` nor `abc`"),
            (r#""xyz": [1.5, 1.5]"#, "site 0: `xyz`: expected three numbers, found 2"),
            (r#""label": "H""#, "neither `xyz` nor `abc`"),
        ] {
            let message = position(coordinates).unwrap_err();
            assert!(message.contains(expected), "{coordinates}: {message}");
        }
    }

    #[test]
    fn open_directions_are_not_folded() {
        let text = |pbc: &str| {
            format!(
                r#"{{"lattice": {{"matrix": [[2, 0, 0], [0, 2, 0], [0, 0, 2]], "pbc": {pbc}}},
                "sites": [{{"species": [{{"element": "H", "occu": 1}}], "abc": [0, 0, 0], "xyz": [0, 0, 2]}}]}}"#
            )
        };
        assert_eq!(read_text(&text("[true, true, true]")).unwrap().header.get("pbc").unwrap().text(), "T T T");
        assert_eq!(read_text(&text("null")).unwrap().header.get("pbc").unwrap().text(), "T T T");
        assert!(read_text(&text("[true, true, false]")).unwrap_err().contains("2.000 angstrom apart"));
        assert!(read_text(&text("[true, true]")).unwrap_err().contains("expected three items, found 2"));
    }

    #[test]
    fn a_molecule_has_no_lattice_and_a_structure_has() {
        let text = |class: &str| {
            format!(
                r#"{{"@class": "{class}", "charge": -1, "spin_multiplicity": 2,
                "sites": [{{"name": "O", "species": [{{"element": "O", "occu": 1}}], "xyz": [0, 0, 1]}}]}}"#
            )
        };
        let frame = read_text(&text("Molecule")).unwrap();
        assert!(frame.header.get("Lattice").is_none() && frame.header.get("pbc").is_none());
        assert_eq!(frame.header.get("charge").unwrap().number(), Some(-1.0));
        assert_eq!(frame.header.get("spin").unwrap().number(), Some(2.0));
        assert_eq!(read_text(&text("Structure")).unwrap_err(), "no `lattice`, and no Molecule");
        assert_eq!(read_text(r#"{"@class": "Molecule"}"#).unwrap_err(), "no `sites`");
        for (lattice, expected) in [
            ("{}", "no `matrix`"),
            ("3", "found a number"),
            (r#"{"matrix": [[1, 0, 0]]}"#, "found 1"),
            (r#"{"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, Infinity]]}"#, "expected finite numbers"),
        ] {
            let message = read_text(&format!(r#"{{"lattice": {lattice}, "sites": []}}"#)).unwrap_err();
            assert!(message.contains("`lattice`: ") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn properties_become_columns_where_all_sites_have_them() {
        let site = |properties: &str| {
            format!(r#"{{"species": [{{"element": "H", "occu": 1}}], "xyz": [0, 0, 0], "properties": {properties}}}"#)
        };
        let both = |one: &str, other: &str| with_sites(&format!("{}, {}", site(one), site(other))).unwrap();
        let frame = both(
            r#"{"magmom": 1, "charge": 0.5, "forces": [1, 2, 3]}"#,
            r#"{"magmom": -1.5, "charge": -0.5, "forces": [4, 5, 6], "other": {"a": [1]}}"#,
        );
        assert_eq!(frame.column("magmoms").unwrap().numbers().unwrap(), [1.0, -1.5]);
        assert_eq!(frame.column("charges").unwrap().numbers().unwrap(), [0.5, -0.5]);
        assert_eq!(frame.column("forces").unwrap().as_vectors().unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let frame = both(r#"{"magmom": 1, "forces": [1, 2, 3]}"#, r#"{"magmom": null, "forces": [1, null, 3]}"#);
        assert!(frame.column("magmoms").is_none() && frame.column("forces").is_none());
        let frame = both(r#"{"magmom": [0, 0, 1]}"#, r#"{"magmom": {"moment": 1}}"#);
        assert!(frame.column("magmoms").is_none());
    }
}
