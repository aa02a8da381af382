//! vasprun.xml, read element by element.
//!
//! Under `<modeling>` come `<incar>`, `<parameters>`, `<atominfo>` with the elements, `<structure name="initialpos">`
//! with the atoms that may move, and for each ionic step a `<calculation>`: the energies of each electronic step
//! (`<scstep>`), the structure in fractions of the lattice vectors, the forces, the stress in kbar, and an `<energy>`
//! of the whole.
//!
//! # The energy
//! The `<energy>` of a calculation has all that belongs to it in `e_fr_energy`, corrections for dispersion as well, but
//! with PSTRESS the enthalpy: pressure times volume is taken off again. Its `e_wo_entrp` and `e_0_energy` are wrong in
//! VASP 5. The last electronic step has all three right but without corrections, so their differences are taken from
//! there, as ASE and pymatgen do. A calculation without electronic steps has the free energy alone.
//!
//! Traps: an atom that may move along some lattice vectors only counts as one that may move. What a machine-learned
//! force field predicts stands under `<modeling>`, outside of `<calculation>`, and is left out. The name of an element
//! is wrong for some old potentials (`X` for Xe, `r` for Zr); then the title of the potential tells.

use std::io::BufRead;
use std::path::Path;

use isograd_structure::{Cell, Element, StressUnit};

use super::numbers::numbers;
use super::species::element_of_potential;
use super::step::{Energies, Step, all_predicted};
use super::xml::{Fault, Xml};
use crate::formats::{Format, Frame, Frames, Input};
use crate::{Error, Result};

/// vasprun.xml of VASP.
#[derive(Debug, Clone, Copy)]
pub struct VaspRun;

/// The name that VASP writes under.
const RUN: &str = "vasprun.xml";

impl Format for VaspRun {
    fn name(&self) -> &'static str {
        "vasprun"
    }

    fn recognises(&self, start: &[u8]) -> bool {
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        start.starts_with(b"<") && start.windows(9).any(|word| word == b"<modeling")
    }

    /// The folder of a run has every step twice: in vasprun.xml, which is read, and with fewer digits in OUTCAR.
    fn recognises_folder(&self, folder: &Path) -> bool {
        ["OUTCAR", RUN].iter().all(|name| folder.join(name).is_file())
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let folder = input.path().ok().filter(|path| path.is_dir()).map(|folder| folder.join(RUN));
        let input = match folder {
            Some(file) => Input::open(&file)?,
            None => input,
        };
        let name = input.name().to_owned();
        Ok(Box::new(VaspRunReader::new(input.into_bytes(), name)))
    }
}

/// Iterates over the ionic steps of a vasprun.xml. After an error the iterator ends.
pub struct VaspRunReader<R> {
    xml: Xml<R>,
    name: String,
    run: Run,
    index: usize,
    /// The line that ends the last step, 0 before there is one.
    complete: usize,
    /// Structures that a machine-learned force field has predicted.
    predicted: usize,
    done: bool,
}

/// What holds for all steps.
#[derive(Default)]
struct Run {
    /// NELM.
    most_electronic_steps: Option<usize>,
    /// PSTRESS, kbar.
    pressure: f64,
    /// IMAGES of a nudged elastic band.
    images: usize,
    elements: Option<Vec<Element>>,
    free: Option<Vec<bool>>,
}

impl<R: BufRead> VaspRunReader<R> {
    /// Reads from `input`; `name` stands for the file in errors.
    pub fn new(input: R, name: impl Into<String>) -> Self {
        let (xml, run) = (Xml::new(input), Run::default());
        Self { xml, name: name.into(), run, index: 0, complete: 0, predicted: 0, done: false }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        self.step().map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> Error {
        let message = match (fault, self.complete) {
            (Fault::Wrong(message), _) => message,
            (Fault::End, 0) => "the file ends before its first ionic step is complete".into(),
            (Fault::End, line) => format!(
                "the file ends after ionic step {}, without </modeling>, so the run was killed or is still going; what \
                 is there is complete: keep the first {line} lines of the file and add </modeling> as the last to use it",
                self.index
            ),
        };
        Error::frame(&self.name, self.xml.line(), self.index)(message)
    }

    fn step(&mut self) -> Result<Option<Frame>, Fault> {
        if self.index == 0 && self.xml.child()?.is_none_or(|root| root.name != "modeling") {
            return Err("expected <modeling>, as in a vasprun.xml".to_owned().into());
        }
        while let Some(tag) = self.xml.child()? {
            match (tag.name.as_str(), tag.label.as_str()) {
                ("incar" | "parameters", _) => self.run.parameters(&mut self.xml)?,
                ("atominfo", _) => self.run.elements = Some(elements(&mut self.xml)?),
                ("structure", "initialpos") => {
                    let atoms = self.run.elements()?.len();
                    self.run.free = structure(&mut self.xml, atoms)?.free;
                }
                ("structure", "") => {
                    self.predicted += 1;
                    self.xml.skip()?;
                }
                ("calculation", _) => {
                    let step = self.run.calculation(&mut self.xml)?;
                    let frame = step.frame(self.run.elements()?, self.index);
                    self.index += 1;
                    self.complete = self.xml.line();
                    return Ok(Some(frame));
                }
                _ => self.xml.skip()?,
            }
        }
        match (self.index, self.predicted) {
            (0, 0) => Err("has no ionic step, expected a <calculation> for each".to_owned().into()),
            (0, predicted) => Err(all_predicted(predicted).into()),
            _ => Ok(None),
        }
    }
}

impl<R: BufRead> Iterator for VaspRunReader<R> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.next_frame();
        self.done = !matches!(frame, Ok(Some(_)));
        frame.transpose()
    }
}

impl Run {
    fn elements(&self) -> Result<&[Element], Fault> {
        self.elements.as_deref().ok_or_else(|| "expected <atominfo> before the first structure".to_owned().into())
    }

    /// Reads what is needed of `<incar>` or `<parameters>`, whose `<separator>`s are nested.
    fn parameters(&mut self, xml: &mut Xml<impl BufRead>) -> Result<(), Fault> {
        let mut depth = 0;
        loop {
            match xml.child()? {
                Some(tag) if tag.name == "separator" => depth += 1,
                Some(tag) if tag.name == "i" => match tag.label.as_str() {
                    "NELM" => self.most_electronic_steps = Some(whole(&xml.text()?, "NELM")?),
                    "IMAGES" => self.images = whole(&xml.text()?, "IMAGES")?,
                    "PSTRESS" => self.pressure = number(&xml.text()?, "PSTRESS")?,
                    _ => xml.skip()?,
                },
                Some(_) => xml.skip()?,
                None if depth == 0 => return Ok(()),
                None => depth -= 1,
            }
        }
    }

    /// Reads a `<calculation>`.
    fn calculation(&self, xml: &mut Xml<impl BufRead>) -> Result<Step, Fault> {
        if self.images > 0 {
            let message = "is of an image of a nudged elastic band (IMAGES), and has the forces of the band in those \
                           of the atoms: read the OUTCAR of the image, which has not";
            return Err(message.to_owned().into());
        }
        let atoms = self.elements()?.len();
        let mut step = Step { line: xml.line(), free: self.free.clone(), ..Step::default() };
        let (mut place, mut whole, mut last, mut electronic_steps) = (None, None, None, 0);
        while let Some(tag) = xml.child()? {
            match (tag.name.as_str(), tag.label.as_str()) {
                ("scstep", _) => {
                    electronic_steps += 1;
                    last = electronic_step(xml)?;
                }
                ("structure", _) => place = Some(structure(xml, atoms)?),
                ("varray", "forces") => step.forces = Some(rows(xml, "forces", atoms, numbers)?),
                ("varray", "stress") => step.stress = Some(square(xml, "stress")?),
                ("energy", _) => {
                    step.energy_line = xml.line();
                    whole = energies(xml)?;
                }
                _ => xml.skip()?,
            }
        }
        let lacks = |what: &str| Fault::Wrong(format!("a <calculation> has no {what}"));
        let place = place.ok_or_else(|| lacks("<structure>"))?;
        (step.cell, step.positions) = (place.cell, place.cartesian());
        let enthalpy = whole.ok_or_else(|| lacks("<energy> with an e_fr_energy"))?.free;
        let pressure = self.pressure * StressUnit::Kilobar.in_ev_per_cubic_angstrom();
        let free = enthalpy - pressure * Cell(step.cell).volume();
        let last = last.unwrap_or_default();
        let above = |energy: Option<f64>| energy.map(|energy| free + (energy - last.free));
        step.energies = Energies { free, without_entropy: above(last.without_entropy), sigma_0: above(last.sigma_0) };
        step.electronic_steps = Some(electronic_steps).filter(|&count| count > 0);
        step.converged = step.electronic_steps.zip(self.most_electronic_steps).map(|(count, most)| count < most);
        Ok(step)
    }
}

/// A structure.
struct Place {
    cell: [[f64; 3]; 3],
    /// Positions in units of the lattice vectors.
    fractions: Vec<[f64; 3]>,
    free: Option<Vec<bool>>,
}

impl Place {
    fn cartesian(&self) -> Vec<[f64; 3]> {
        let [a, b, c] = self.cell;
        let along =
            |fraction: &[f64; 3], axis: usize| fraction[0] * a[axis] + fraction[1] * b[axis] + fraction[2] * c[axis];
        self.fractions.iter().map(|fraction| [0, 1, 2].map(|axis| along(fraction, axis))).collect()
    }
}

/// Reads a `<structure>`.
fn structure(xml: &mut Xml<impl BufRead>, atoms: usize) -> Result<Place, Fault> {
    let (mut cell, mut fractions, mut free) = (None, None, None);
    while let Some(tag) = xml.child()? {
        match (tag.name.as_str(), tag.label.as_str()) {
            ("crystal", _) => {
                while let Some(tag) = xml.child()? {
                    match tag.label.as_str() {
                        "basis" => cell = Some(square(xml, "basis")?),
                        _ => xml.skip()?,
                    }
                }
            }
            ("varray", "positions") => fractions = Some(rows(xml, "positions", atoms, numbers)?),
            ("varray", "selective") => free = Some(rows(xml, "selective", atoms, may_move)?),
            _ => xml.skip()?,
        }
    }
    let lacks = |what: &str| format!("a <structure> has no <varray name=\"{what}\">");
    let cell = cell.ok_or_else(|| lacks("basis"))?;
    Ok(Place { cell, fractions: fractions.ok_or_else(|| lacks("positions"))?, free })
}

/// Whether an atom may move along any lattice vector: `T T F`.
fn may_move(flags: &str) -> Result<bool, String> {
    let flags: Vec<&str> = flags.split_whitespace().collect();
    match flags.len() == 3 && flags.iter().all(|flag| matches!(*flag, "T" | "F")) {
        true => Ok(flags.contains(&"T")),
        false => Err(format!("expected three of T or F, found `{}`", flags.join(" "))),
    }
}

/// Reads three rows of three numbers.
fn square(xml: &mut Xml<impl BufRead>, what: &str) -> Result<[[f64; 3]; 3], Fault> {
    let rows: Vec<[f64; 3]> = rows(xml, what, 3, numbers)?;
    Ok(std::array::from_fn(|row| rows[row]))
}

/// Reads a `<varray>` of so many rows.
fn rows<T>(
    xml: &mut Xml<impl BufRead>,
    what: &str,
    count: usize,
    row: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Fault> {
    let mut rows = Vec::new();
    while xml.child()?.is_some() {
        let text = xml.text()?;
        // What is too much is not kept.
        if rows.len() > count {
            break;
        }
        rows.push(row(&text).map_err(|message| format!("row {} of `{what}`: {message}", rows.len() + 1))?);
    }
    match rows.len() {
        found if found == count => Ok(rows),
        found if found < count => Err(format!("`{what}` has {found} rows, expected {count}").into()),
        _ => Err(format!("`{what}` has more than {count} rows").into()),
    }
}

/// The energies of a `<scstep>`.
fn electronic_step(xml: &mut Xml<impl BufRead>) -> Result<Option<Energies>, Fault> {
    let mut found = None;
    while let Some(tag) = xml.child()? {
        match tag.name.as_str() {
            "energy" => found = energies(xml)?,
            _ => xml.skip()?,
        }
    }
    Ok(found)
}

/// Reads an `<energy>`; none without a free energy.
fn energies(xml: &mut Xml<impl BufRead>) -> Result<Option<Energies>, Fault> {
    let (mut free, mut without_entropy, mut sigma_0) = (None, None, None);
    while let Some(tag) = xml.child()? {
        let energy = match tag.label.as_str() {
            "e_fr_energy" => &mut free,
            "e_wo_entrp" => &mut without_entropy,
            "e_0_energy" => &mut sigma_0,
            _ => {
                xml.skip()?;
                continue;
            }
        };
        *energy = Some(number(&xml.text()?, &tag.label)?);
    }
    Ok(free.map(|free| Energies { free, without_entropy, sigma_0 }))
}

/// Reads `<atominfo>`: a table of atoms with the name of an element and the number of a type, and a table of types with
/// the titles of their potentials.
fn elements(xml: &mut Xml<impl BufRead>) -> Result<Vec<Element>, Fault> {
    let (mut atoms, mut potentials) = (Vec::new(), Vec::new());
    while let Some(tag) = xml.child()? {
        match tag.label.as_str() {
            "atoms" => table(xml, |cells| {
                let [name, kind] = cells else { return Err(format!("an atom has {} cells, expected 2", cells.len())) };
                atoms.push((name.trim().parse::<Element>(), whole(kind, "atomtype")?));
                Ok(())
            })?,
            "atomtypes" => table(xml, |cells| {
                potentials.push(cells.last().and_then(|title| element_of_potential(title)));
                Ok(())
            })?,
            _ => xml.skip()?,
        }
    }
    let element = |(name, kind): (Result<Element, String>, usize)| {
        name.or_else(|message| kind.checked_sub(1).and_then(|kind| *potentials.get(kind)?).ok_or(message))
    };
    Ok(atoms.into_iter().map(element).collect::<Result<_, String>>()?)
}

/// Reads the rows of an `<array>`: the cells of each `<rc>` in its `<set>`.
fn table(xml: &mut Xml<impl BufRead>, mut row: impl FnMut(&[String]) -> Result<(), String>) -> Result<(), Fault> {
    while let Some(tag) = xml.child()? {
        if tag.name != "set" {
            xml.skip()?;
            continue;
        }
        while xml.child()?.is_some() {
            let mut cells = Vec::new();
            while xml.child()?.is_some() {
                cells.push(xml.text()?);
                if cells.len() > 100 {
                    return Err("a row of <atominfo> has more than 100 cells".to_owned().into());
                }
            }
            row(&cells)?;
        }
    }
    Ok(())
}

/// A number.
fn number(text: &str, what: &str) -> Result<f64, String> {
    numbers(text).map(|[number]| number).map_err(|message| format!("{what}: {message}"))
}

/// A whole number, not below 0.
fn whole(text: &str, what: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("{what}: expected a whole number, found `{}`", text.trim()))
}
