//! A data source: under which keys its labels stand, in which units, and how a frame of it becomes
//! a [`Structure`] in eV and angstrom.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use isograd_structure::{Cell, Element, Geometry, Structure, Units};
use serde::{Deserialize, Serialize};

use crate::formats::{self, Column, Data, Formats, Frame, Frames, Input};
use crate::stated::check_units;
use crate::store::{self, PackOptions, Packing};
use crate::{Error, Result};

/// Names of the labels in a file: keys of a frame, and columns of its atoms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Key of the total energy. Default `energy`.
    pub energy: String,
    /// Column of the forces. Default `forces`.
    pub forces: String,
    /// Key of the stress: 9 numbers, or 6 in Voigt order xx yy zz yz xz xy. Default `stress`.
    pub stress: String,
    /// Key of the virial (9 or 6 numbers), used where there is no stress; stress is
    /// minus virial over volume. Default `virial`.
    pub virial: String,
    /// Key whose equal values stay together in the split. Default: none.
    pub group: Option<String>,
    /// Column that is T or 1 where the force on an atom is a label, and F or 0 where it is not, as `move_mask` of atoms that
    /// were held in place; of three for each atom, all must be true. Default: none, and all forces are labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_mask: Option<String>,
    /// Key of what a frame counts in the loss: a number, or, with `frame_weights`, a name such as that of its `config_type`.
    /// Default: none, and all count alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            energy: "energy".into(),
            forces: "forces".into(),
            stress: "stress".into(),
            virial: "virial".into(),
            group: None,
            force_mask: None,
            weight: None,
        }
    }
}

/// A column that is read beside energies, forces and stress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnKey {
    /// The frame's key, or the name of the column of its atoms.
    pub key: String,
    /// Whether it has numbers for each atom.
    pub of_nodes: bool,
}

/// How to read the structures of one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Source {
    /// Where the labels stand.
    pub keys: Keys,
    /// What the numbers mean.
    pub units: Units,
    /// What else is read.
    pub columns: Vec<ColumnKey>,
    /// What frames count in the loss, by the value of the key for weights; `default` is for values that are not named.
    pub weights: BTreeMap<String, f64>,
}

impl Source {
    /// Streams the structures of one file, in eV and angstrom.
    ///
    /// # Errors
    /// As [`Formats::open`]; each item is an error of its own frame.
    pub fn read_file(&self, path: &Path) -> Result<impl Iterator<Item = Result<Structure>> + use<>> {
        self.read_file_with(&Formats::default(), path)
    }

    /// As [`Source::read_file`], with formats of a program.
    ///
    /// # Errors
    /// As [`Source::read_file`].
    pub fn read_file_with(
        &self,
        formats: &Formats,
        path: &Path,
    ) -> Result<impl Iterator<Item = Result<Structure>> + use<>> {
        Ok(self.structures(formats.open(path)?, path.display().to_string()))
    }

    /// Packs the structures of inputs into a store.
    ///
    /// # Errors
    /// As [`Source::read_file_with`] and [`store::pack`].
    pub fn pack(
        &self,
        formats: &Formats,
        inputs: &[PathBuf],
        folder: &Path,
        options: &PackOptions,
        progress: &(dyn Fn(Packing) + Sync),
    ) -> Result<store::Header> {
        let read = |path: &Path| Ok(Box::new(self.read_file_with(formats, path)?) as store::Structures);
        let options = PackOptions { group_key: self.keys.group.clone(), ..options.clone() };
        store::pack(&read, inputs, folder, &options, progress)
    }

    /// Streams the structures of a stream of bytes; `name` stands for the file in errors.
    pub fn read<'a, R: BufRead + Send + 'a>(
        &self,
        input: R,
        name: &str,
    ) -> impl Iterator<Item = Result<Structure>> + use<'a, R> {
        let frames = Formats::default().read(Input::new(input, name));
        self.structures(frames.unwrap_or_else(|error| Box::new(std::iter::once(Err(error)))), name.to_owned())
    }

    /// Streams the structures of frames; `file` stands in errors.
    fn structures<'a>(&self, frames: Frames<'a>, file: String) -> impl Iterator<Item = Result<Structure>> + use<'a> {
        let source = self.clone();
        frames.map(move |frame| source.structure(&frame?, &file))
    }

    /// Converts one frame; `file` stands in errors.
    ///
    /// # Errors
    /// [`Error::Frame`] where elements, positions, cell or labels cannot be understood.
    pub fn structure(&self, frame: &Frame, file: &str) -> Result<Structure> {
        self.convert(frame).map_err(Error::frame(file, frame.header_line, frame.index))
    }

    fn convert(&self, frame: &Frame) -> Result<Structure, String> {
        if let Some(units) = frame.converted_from
            && self.units != Units::default()
        {
            return Err(format!("files of this format are in {units}, which is known without `units`: leave it out"));
        }
        check_units(frame, &self.units)?;
        let length = self.units.length.in_angstrom();
        let positions =
            vectors(frame, "pos")?.or(vectors(frame, "positions")?).ok_or("no column `pos` with the positions")?;
        let cell = cell(frame)?.map(|rows| Cell(rows.map(|row| row.map(|v| v * length))));
        let geometry = Geometry {
            positions: positions.into_iter().map(|p| p.map(|v| v * length)).collect(),
            cell,
            periodic: periodic(frame, cell.is_some())?,
        };
        if geometry.periodic.contains(&true) && cell.is_none() {
            return Err("pbc is true but there is no Lattice".into());
        }
        let energy = match frame.header.get(&self.keys.energy) {
            None => None,
            Some(value) => {
                Some(value.number().ok_or_else(|| not_numbers(&self.keys.energy, &value.text(), "one number"))?)
            }
        };
        let forces = vectors(frame, &self.keys.forces)?;
        let mut remarks = frame.remarks.clone();
        if forces.is_some() && self.keys.energy == ENERGY && differ(frame, ENERGY, FREE_ENERGY) {
            remarks.push(OTHER_ENERGY);
        }
        Ok(Structure {
            remarks,
            force_mask: self.force_mask(frame)?,
            weight: self.weight(frame)?,
            stress: self.stress(frame, &geometry)?,
            geometry,
            elements: elements(frame)?,
            energy: energy.map(|energy| energy * self.units.energy_factor(frame.atoms)),
            columns: self.columns(frame)?,
            forces: forces.map(|f| f.into_iter().map(|f| f.map(|v| v * self.units.force_factor())).collect()),
            group: self
                .keys
                .group
                .as_ref()
                .and_then(|key| frame.header.get(key))
                .map(|value| value.text().into_owned()),
        })
    }

    fn force_mask(&self, frame: &Frame) -> Result<Option<Vec<bool>>, String> {
        let Some(column) = self.keys.force_mask.as_ref().and_then(|name| frame.column(name)) else { return Ok(None) };
        let values: Option<Vec<bool>> = match &column.data {
            Data::Logical(values) => Some(values.clone()),
            _ => column.numbers().and_then(|numbers| numbers.into_iter().map(truth).collect()),
        };
        let expected =
            || format!("column `{}`: expected T or F, or 1 or 0, for each atom or its three directions", column.name);
        let values = values.filter(|_| [1, 3].contains(&column.width)).ok_or_else(expected)?;
        Ok(Some(values.chunks_exact(column.width).map(|atom| atom.iter().all(|&is_free| is_free)).collect()))
    }

    fn weight(&self, frame: &Frame) -> Result<Option<f64>, String> {
        let Some((key, value)) = self.keys.weight.as_ref().and_then(|key| Some((key, frame.header.get(key)?))) else {
            return Ok(None);
        };
        let text = value.text();
        if self.weights.is_empty() {
            let number = value.number().filter(|weight| weight.is_finite() && *weight >= 0.0);
            let expected = "a number that is not negative; names have their numbers in `frame_weights`";
            return number.map(Some).ok_or_else(|| not_numbers(key, &text, expected));
        }
        let named = self.weights.get(&*text).or_else(|| self.weights.get(OTHERS)).copied();
        named.map(Some).ok_or_else(|| {
            let known = self.weights.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            format!(
                "`{key}={text}`: frame_weights has {known}; add `{text}`, or `{OTHERS}` for all that it does not name"
            )
        })
    }

    fn columns(&self, frame: &Frame) -> Result<BTreeMap<String, Vec<f64>>, String> {
        let mut found = BTreeMap::new();
        for ColumnKey { key, of_nodes } in &self.columns {
            let numbers = if *of_nodes {
                let Some(column) = frame.column(key) else { continue };
                column.numbers().ok_or_else(|| format!("column `{key}`: expected numbers"))?
            } else {
                let Some(value) = frame.header.get(key) else { continue };
                value.numbers().ok_or_else(|| not_numbers(key, &value.text(), "numbers"))?
            };
            found.insert(key.clone(), numbers);
        }
        Ok(found)
    }

    fn stress(&self, frame: &Frame, geometry: &Geometry) -> Result<Option<[[f64; 3]; 3]>, String> {
        let scaled = |tensor: [[f64; 3]; 3], factor: f64| tensor.map(|row| row.map(|v| v * factor));
        let (stress_key, virial_key) = (&self.keys.stress, &self.keys.virial);
        let stress = tensor(frame, stress_key)?.map(|stress| scaled(stress, self.units.stress_factor()));
        let Some(virial) = tensor(frame, virial_key)? else { return Ok(stress) };
        let volume = geometry.cell.map_or(0.0, |cell| cell.volume());
        let Some(stress) = stress else {
            if volume == 0.0 {
                return Err(format!("`{virial_key}` needs a cell with a volume"));
            }
            return Ok(Some(scaled(virial, -self.units.energy.in_ev() / volume)));
        };
        if volume > 0.0 {
            let virial = scaled(virial, -self.units.energy.in_ev() / volume);
            let apart = stress.as_flattened().iter().zip(virial.as_flattened()).map(|(a, b)| (a - b).abs());
            let largest = stress.as_flattened().iter().fold(0.0f64, |most, value| most.max(value.abs()));
            if apart.fold(0.0, f64::max) > AGREES * largest + ROUNDED {
                return Err(format!(
                    "`{stress_key}` is {:.4e} eV/angstrom^3 in xx, and `{virial_key}` says {:.4e}, as minus the virial over the \
                     volume: they contradict each other; name in `keys` the one that is right, and set the other to \"\"",
                    stress[0][0], virial[0][0]
                ));
            }
        }
        Ok(Some(stress))
    }
}

/// The name in `frame_weights` of all that it does not name.
const OTHERS: &str = "default";

/// What programs call the two energies of an electronic structure at a finite temperature of its electrons.
const ENERGY: &str = "energy";
const FREE_ENERGY: &str = "free_energy";
const OTHER_ENERGY: &str = "`free_energy` is not `energy`: forces of VASP and of most other programs are minus the gradient of the \
                            free energy; train on it with keys.energy = \"free_energy\"";

/// Energies that are farther apart are two, in whatever unit they are.
const SAME_ENERGY: f64 = 1e-5;

/// Whether a frame has numbers under two keys that are not the same.
fn differ(frame: &Frame, one: &str, other: &str) -> bool {
    let number = |key: &str| frame.header.get(key).and_then(|value| value.number());
    matches!((number(one), number(other)), (Some(one), Some(other)) if (one - other).abs() > SAME_ENERGY)
}

/// Of 0 and 1.
fn truth(number: f64) -> Option<bool> {
    [0.0, 1.0].iter().position(|value| *value == number).map(|place| place == 1)
}

/// How far a stress and a virial may be apart that say the same, as a share and in eV/angstrom^3: files have few digits.
const AGREES: f64 = 0.02;
const ROUNDED: f64 = 1e-4;

fn not_numbers(key: &str, text: &str, expected: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    format!("`{key}={shown}`: expected {expected}")
}

fn vectors(frame: &Frame, name: &str) -> Result<Option<Vec<[f64; 3]>>, String> {
    let column = frame.column(name);
    column
        .map(|column| column.as_vectors().ok_or_else(|| format!("column `{name}`: expected three numbers per atom")))
        .transpose()
}

/// Columns that may say what the atoms are, the first that is there says it.
const ELEMENTS: [&str; 5] = ["species", "element", "symbols", "Z", "numbers"];

fn elements(frame: &Frame) -> Result<Vec<Element>, String> {
    let mut columns = ELEMENTS.iter().filter_map(|name| frame.column(name));
    let first = columns.next().ok_or("no column `species` (or `Z`) with the elements")?;
    let expected = || format!("column `{}`: expected one symbol or atomic number per atom", first.name);
    let elements = elements_of(first).ok_or_else(expected)??;
    for other in columns {
        // What is no element at all says something else.
        let Some(Ok(others)) = elements_of(other) else { continue };
        if let Some(atom) = elements.iter().zip(&others).position(|(own, other)| own != other) {
            return Err(format!(
                "atom {atom} (from 0) is {} in the column `{}` and {} in the column `{}`; remove the wrong one",
                elements[atom].symbol(),
                first.name,
                others[atom].symbol(),
                other.name
            ));
        }
    }
    Ok(elements)
}

/// The elements that a column names; `None` of a column that cannot name any.
fn elements_of(column: &Column) -> Option<Result<Vec<Element>, String>> {
    match &column.data {
        Data::Text(symbols) if column.width == 1 => Some(symbols.iter().map(|symbol| element(symbol)).collect()),
        Data::Integer(numbers) if column.width == 1 => Some(formats::elements_of(numbers.iter().copied())),
        _ => None,
    }
}

/// The element of a symbol, also in capitals; deuterium and tritium are hydrogen.
fn element(symbol: &str) -> Result<Element, String> {
    symbol.parse().or_else(|message| {
        let spelled = match symbol {
            "D" | "T" => "H".to_owned(),
            _ => symbol.chars().take(1).chain(symbol.to_ascii_lowercase().chars().skip(1)).collect(),
        };
        spelled.parse().map_err(|_: String| message)
    })
}

fn cell(frame: &Frame) -> Result<Option<[[f64; 3]; 3]>, String> {
    let Some(value) = frame.header.get("Lattice") else { return Ok(None) };
    let numbers = value.numbers().filter(|n| n.iter().all(|v| v.is_finite()));
    match numbers.as_deref() {
        Some(&[a, b, c]) => Ok(Some([[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, 0.0, c]])),
        Some(nine) if nine.len() == 9 => Ok(Some(square(nine))),
        _ => Err(not_numbers(
            "Lattice",
            &value.text(),
            "9 finite numbers, the three lattice vectors one after the other",
        )),
    }
}

fn square(nine: &[f64]) -> [[f64; 3]; 3] {
    std::array::from_fn(|row| std::array::from_fn(|column| nine[3 * row + column]))
}

fn periodic(frame: &Frame, has_cell: bool) -> Result<[bool; 3], String> {
    let Some(value) = frame.header.get("pbc") else { return Ok([has_cell; 3]) };
    match value.booleans().as_deref() {
        Some(&[a, b, c]) => Ok([a, b, c]),
        Some(&[all]) => Ok([all; 3]),
        _ => Err(not_numbers("pbc", &value.text(), "three of T or F")),
    }
}

fn tensor(frame: &Frame, key: &str) -> Result<Option<[[f64; 3]; 3]>, String> {
    let Some(value) = frame.header.get(key) else { return Ok(None) };
    match value.numbers().as_deref() {
        Some(nine) if nine.len() == 9 => Ok(Some(square(nine))),
        Some(&[xx, yy, zz, yz, xz, xy]) => Ok(Some([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])),
        _ => Err(not_numbers(key, &value.text(), "9 numbers, or 6 in the order xx yy zz yz xz xy")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use isograd_structure::{EnergyUnit, LengthUnit, StressSign, StressUnit};

    fn one(source: &Source, text: &str) -> Result<Structure> {
        source.read(text.as_bytes(), "t.xyz").next().unwrap()
    }

    const PERIODIC: &str = "1\nLattice=\"2 0 0 0 2 0 0 0 2\" Properties=Z:I:1:pos:R:3:F:R:3 E=-0.5 \
                            stress=\"1 2 3 4 5 6\"\n8 1 0 0 0.1 0 0\n";

    #[test]
    fn units_and_signs_are_converted_once() {
        let keys = Keys { energy: "E".into(), forces: "F".into(), ..Default::default() };
        let units = Units {
            energy: EnergyUnit::Hartree,
            length: LengthUnit::Bohr,
            stress: StressUnit::Kilobar,
            stress_sign: StressSign::CompressionPositive,
            forces_are_gradients: true,
            force: None,
            energies_are_per_atom: false,
        };
        let structure = one(&Source { keys, units, ..Source::default() }, PERIODIC).unwrap();
        assert_relative_eq!(structure.energy.unwrap(), -13.605_693_122_994, max_relative = 1e-12);
        assert_relative_eq!(structure.forces.unwrap()[0][0], -5.142_206_7, max_relative = 1e-7);
        assert_relative_eq!(structure.geometry.positions[0][0], 0.529_177_210_903, max_relative = 1e-12);
        assert_relative_eq!(structure.geometry.cell.unwrap().0[2][2], 1.058_354_421_806, max_relative = 1e-12);
        let stress = structure.stress.unwrap();
        assert_relative_eq!(stress[0][1], -6.0 * 6.241_509_1e-4, max_relative = 1e-7);
        assert_relative_eq!(stress[2][1], -4.0 * 6.241_509_1e-4, max_relative = 1e-7);
        assert_eq!(structure.geometry.periodic, [true; 3]);
        assert_eq!(structure.elements[0].symbol(), "O");
    }

    #[test]
    fn energies_per_atom_become_those_of_all_atoms() {
        let units = Units { energies_are_per_atom: true, ..Units::default() };
        let source = Source { units, ..Source::default() };
        assert_eq!(one(&source, "2\nenergy=-1.5\nH 0 0 0\nH 1 0 0\n").unwrap().energy, Some(-3.0));
    }

    #[test]
    fn a_virial_becomes_a_stress() {
        let text = "1\nLattice=\"2 0 0 0 2 0 0 0 2\" virial=\"8 0 0 0 8 0 0 0 8\"\nO 0 0 0\n";
        assert_eq!(one(&Source::default(), text).unwrap().stress.unwrap()[1][1], -1.0);
    }

    #[test]
    fn a_virial_that_contradicts_the_stress_is_refused() {
        let text = |stress: &str| {
            format!("1\nLattice=\"2 0 0 0 2 0 0 0 2\" virial=\"8 0 0 0 8 0 0 0 8\" stress=\"{stress}\"\nO 0 0 0\n")
        };
        let same = one(&Source::default(), &text("-1 0 0 0 -1 0 0 0 -1")).unwrap();
        assert_eq!(same.stress.unwrap()[0][0], -1.0);
        let other = text("1 0 0 0 1 0 0 0 1");
        let message = one(&Source::default(), &other).unwrap_err().to_string();
        assert!(message.contains("`stress` is 1.0000e0") && message.contains("`virial` says -1.0000e0"), "{message}");
        let keys =
            |stress: &str, virial: &str| Keys { stress: stress.into(), virial: virial.into(), ..Keys::default() };
        for (keys, expected) in [(keys("stress", ""), 1.0), (keys("", "virial"), -1.0)] {
            let found = one(&Source { keys, ..Source::default() }, &other).unwrap();
            assert_eq!(found.stress.unwrap()[1][1], expected);
        }
    }

    #[test]
    fn columns_are_read_where_they_are_asked_for() {
        let text = "2\nProperties=species:S:1:pos:R:3:spin:I:1 dipole=\"1 2 3\" gap=0.5\nH 0 0 0 1\nH 1 0 0 -1\n";
        let column = |key: &str, of_nodes| ColumnKey { key: key.into(), of_nodes };
        let columns = vec![column("dipole", false), column("spin", true), column("gap", true), column("charge", false)];
        let found = one(&Source { columns, ..Source::default() }, text).unwrap().columns;
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("dipole".to_owned(), vec![1.0, 2.0, 3.0]), ("spin".to_owned(), vec![1.0, -1.0]),]
        );
        let columns = vec![column("species", true)];
        let message = one(&Source { columns, ..Source::default() }, text).unwrap_err().to_string();
        assert!(message.contains("column `species`: expected numbers"), "{message}");
    }

    #[test]
    fn elements_as_people_write_them() {
        let symbols = |text: &str| {
            let found = one(&Source::default(), text).map_err(|error| error.to_string())?;
            Ok::<_, String>(found.elements.into_iter().map(Element::symbol).collect::<Vec<_>>())
        };
        assert_eq!(symbols("4\n\nMG 0 0 0\nCL 0 0 3\nD 0 3 0\nT 3 0 0\n").unwrap(), ["Mg", "Cl", "H", "H"]);
        assert!(symbols("1\n\nCG 0 0 0\n").unwrap_err().contains("`CG` is not the symbol of an element"));
        let two =
            |z: [i64; 2]| format!("2\nProperties=species:S:1:pos:R:3:Z:I:1\nC 0 0 0 {}\nN 0 0 2 {}\n", z[0], z[1]);
        assert_eq!(symbols(&two([6, 7])).unwrap(), ["C", "N"]);
        let message = symbols(&two([6, 8])).unwrap_err();
        assert!(message.contains("atom 1 (from 0) is N in the column `species` and O in the column `Z`"), "{message}");
        // Numbers that no element has say something else.
        assert_eq!(symbols(&two([0, 1])).unwrap(), ["C", "N"]);
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (text, expected) in [
            ("1\nenergy=abc\nH 0 0 0\n", "`energy=abc`: expected one number"),
            ("1\npbc=\"T T T\"\nH 0 0 0\n", "no Lattice"),
            ("1\nLattice=\"1 2\"\nH 0 0 0\n", "9 finite numbers"),
            ("1\n\nXx 0 0 0\n", "not the symbol of an element"),
            ("1\nProperties=species:S:1:forces:R:3\nH 0 0 0\n", "no column `pos`"),
            ("1\nProperties=pos:R:3\n0 0 0\n", "no column `species`"),
            ("1\nProperties=species:S:1:pos:R:3:forces:R:1\nH 0 0 0 1\n", "column `forces`: expected three"),
            ("1\nstress=\"1 2\"\nH 0 0 0\n", "9 numbers, or 6"),
        ] {
            let message = one(&Source::default(), text).unwrap_err().to_string();
            assert!(message.starts_with("t.xyz:2: frame 0: ") && message.contains(expected), "{message}");
        }
    }
}
