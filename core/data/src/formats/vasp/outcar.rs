//! OUTCAR, read line by line.
//!
//! A head names the species and counts their ions. Then each ionic step begins with `Iteration n( 1)`, has an
//! `Iteration` line for each electronic step, and in this order the stress (`in kB`: XX YY ZZ XY YZ ZX), the lattice
//! vectors, a table of positions and forces, and under `FREE ENERGIE OF THE ION-ELECTRON SYSTEM` its energies, which
//! end it.
//!
//! Traps: electronic steps have energies too, in lines with other spaces (`free energy    TOTEN`), of which none is
//! read. A table of magnetic moments is printed once more after the last step. The output of a machine-learned force
//! field, in lines marked `ML`, stands between steps. An input file that is repeated in the head may say anything.

use std::io::BufRead;
use std::iter;

use isograd_structure::Element;

use super::lines::Lines;
use super::numbers::numbers;
use super::species::Species;
use super::step::{Energies, Step, all_predicted};
use crate::formats::{Format, Frame, Frames, Input};
use crate::{Error, Result};

/// OUTCAR of VASP.
#[derive(Debug, Clone, Copy)]
pub struct Outcar;

impl Format for Outcar {
    fn name(&self) -> &'static str {
        "outcar"
    }

    fn recognises(&self, start: &[u8]) -> bool {
        start.trim_ascii_start().starts_with(b"vasp.")
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let name = input.name().to_owned();
        Ok(Box::new(OutcarReader::new(input.into_bytes(), name)))
    }
}

/// Iterates over the ionic steps of an OUTCAR. After an error the iterator ends.
pub struct OutcarReader<R> {
    lines: Lines<R>,
    name: String,
    species: Species,
    /// Whether the head of a run is being read; a file may be put together from several runs.
    in_head: bool,
    index: usize,
    /// The line that ends the last step, 0 before there is one.
    complete: usize,
    /// Steps that a machine-learned force field has predicted.
    predicted: usize,
    done: bool,
}

impl<R: BufRead> OutcarReader<R> {
    /// Reads from `input`; `name` stands for the file in errors.
    pub fn new(input: R, name: impl Into<String>) -> Self {
        Self {
            lines: Lines::new(input),
            name: name.into(),
            species: Species::default(),
            in_head: true,
            index: 0,
            complete: 0,
            predicted: 0,
            done: false,
        }
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::frame(&self.name, self.lines.number, self.index)(message.into())
    }

    /// Goes to the next line; false at the end of the file.
    fn advance(&mut self) -> Result<bool> {
        self.lines.advance().map_err(|error| self.error(format!("cannot read on: {error} (is the file complete?)")))
    }

    /// Goes to the next line of the step called `ionic`.
    fn advance_within(&mut self, ionic: &str) -> Result<()> {
        if self.advance()? {
            return Ok(());
        }
        let cut = format!("the file ends within ionic step {ionic}, so the run was killed or is still going");
        Err(self.error(match self.complete {
            0 => format!("{cut}; there is no complete step before it"),
            line => format!(
                "{cut}; all {} before it are complete: keep the first {line} lines of the file to use them",
                self.index
            ),
        }))
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            if !self.advance()? {
                return self.ended();
            }
            match self.mark() {
                Mark::Head => (self.in_head, self.species) = (true, Species::default()),
                Mark::Iteration(ionic) => return self.frame(&ionic).map(Some),
                Mark::Predicted => self.predicted += 1,
                _ if self.in_head => self.species.note(self.lines.text.trim()),
                _ => {}
            }
        }
    }

    /// What is at the end of the file, after the last step.
    fn ended(&self) -> Result<Option<Frame>> {
        match (self.index, self.predicted) {
            (0, 0) => Err(self.error("the file ends before the first ionic step")),
            (0, predicted) => Err(self.error(all_predicted(predicted))),
            _ => Ok(None),
        }
    }

    /// What the line says.
    fn mark(&self) -> Mark {
        Mark::of(self.lines.text.trim())
    }

    fn frame(&mut self, ionic: &str) -> Result<Frame> {
        self.in_head = false;
        let runs = self.species.runs().map_err(|message| self.error(message))?;
        let atoms: usize = runs.iter().map(|(_, count)| count).sum();
        let step = self.step(ionic, atoms)?;
        // There is a position for each, so this is no more than the file has.
        let elements: Vec<Element> = runs.iter().flat_map(|&(element, count)| iter::repeat_n(element, count)).collect();
        let frame = step.frame(&elements, self.index);
        self.index += 1;
        self.complete = self.lines.number;
        Ok(frame)
    }

    /// The step called `ionic`, after its first line.
    fn step(&mut self, ionic: &str, atoms: usize) -> Result<Step> {
        let mut step =
            Step { line: self.lines.number, electronic_steps: Some(1), converged: Some(false), ..Step::default() };
        let (mut cell, mut table, mut predicted) = (None, None, false);
        loop {
            self.advance_within(ionic)?;
            match self.mark() {
                Mark::Head => {
                    return Err(self.error(format!("a run begins where ionic step {ionic} has no energies yet")));
                }
                Mark::Iteration(other) if other != ionic => {
                    return Err(self.error(format!("ionic step {other} begins where step {ionic} has no energies yet")));
                }
                Mark::Iteration(_) => step.electronic_steps = step.electronic_steps.map(|count| count + 1),
                Mark::Converged => step.converged = Some(true),
                Mark::Stresses { by_force_field } => predicted = by_force_field,
                Mark::Stress if !predicted => step.stress = Some(self.stress()?),
                Mark::Lattice => cell = Some(self.lattice(ionic)?),
                Mark::Positions => table = Some(self.positions(ionic, atoms)?),
                Mark::Moments(axis) => step.moments[axis] = Some(self.moments(ionic, atoms)?),
                Mark::Energies => break,
                Mark::Stress | Mark::Predicted | Mark::Other => {}
            }
        }
        step.energy_line = self.lines.number;
        step.cell = cell.ok_or_else(|| self.error(lacks(ionic, "lattice vectors")))?;
        let [positions, forces] = table.ok_or_else(|| self.error(lacks(ionic, "table of positions and forces")))?;
        (step.positions, step.forces) = (positions, Some(forces));
        step.energies = self.energies(ionic)?;
        Ok(step)
    }

    /// The stress of the line.
    fn stress(&self) -> Result<[[f64; 3]; 3]> {
        let components = self.lines.text.trim().trim_start_matches("in kB");
        let components = numbers(components).map_err(|message| self.error(format!("stress in kB: {message}")))?;
        let [xx, yy, zz, xy, yz, zx] = components;
        Ok([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])
    }

    /// Three lattice vectors, left of those of the reciprocal lattice.
    fn lattice(&mut self, ionic: &str) -> Result<[[f64; 3]; 3]> {
        let mut vectors = [[0.0; 3]; 3];
        for vector in &mut vectors {
            self.advance_within(ionic)?;
            let [x, y, z, ..] = self.six("direct and reciprocal lattice vectors")?;
            *vector = [x, y, z];
        }
        Ok(vectors)
    }

    /// Positions and forces: a rule, a row for each ion, and a rule.
    fn positions(&mut self, ionic: &str, atoms: usize) -> Result<[Vec<[f64; 3]>; 2]> {
        let (mut positions, mut forces) = (Vec::new(), Vec::new());
        self.advance_within(ionic)?;
        loop {
            self.advance_within(ionic)?;
            match (is_rule(&self.lines.text), positions.len()) {
                (true, rows) if rows == atoms => return Ok([positions, forces]),
                (false, rows) if rows < atoms => {
                    let [x, y, z, fx, fy, fz] = self.six("POSITION and TOTAL-FORCE")?;
                    positions.push([x, y, z]);
                    forces.push([fx, fy, fz]);
                }
                (ends, rows) => {
                    let found = if ends { "ends" } else { "goes on" };
                    let message = format!(
                        "the table of positions {found} after {rows} rows, expected one for each of {atoms} ions"
                    );
                    return Err(self.error(message));
                }
            }
        }
    }

    /// Magnetic moments: a blank line, the names of the columns (`# of ion s p d tot`), a rule, and a row for each ion.
    fn moments(&mut self, ionic: &str, atoms: usize) -> Result<Vec<f64>> {
        while !is_rule(&self.lines.text) {
            self.advance_within(ionic)?;
        }
        let mut moments = Vec::new();
        for ion in 1..=atoms {
            self.advance_within(ionic)?;
            let mut words = self.lines.text.split_whitespace();
            let is_row = words.next().and_then(|word| word.parse().ok()) == Some(ion);
            let total = words.next_back().filter(|_| is_row).and_then(|word| word.parse().ok());
            moments.push(total.ok_or_else(|| {
                self.error(format!(
                    "magnetization: expected the row of ion {ion}, found `{}`",
                    start_of(self.lines.text.trim())
                ))
            })?);
        }
        Ok(moments)
    }

    /// The six numbers of the line.
    fn six(&self, what: &str) -> Result<[f64; 6]> {
        numbers(&self.lines.text).map_err(|message| self.error(format!("{what}: {message}")))
    }

    /// The energies, after the line that announces them.
    fn energies(&mut self, ionic: &str) -> Result<Energies> {
        let mut free = None;
        loop {
            self.advance_within(ionic)?;
            let text = self.lines.text.trim();
            if text.is_empty() || is_rule(text) {
                continue;
            }
            let values = values(text).map_err(|message| self.error(message))?;
            match (
                text.starts_with("free  energy   TOTEN"),
                text.starts_with("energy  without entropy"),
                free,
                &values[..],
            ) {
                (true, _, None, &[energy]) => free = Some(energy),
                (_, true, Some(free), &[without_entropy, sigma_0]) => {
                    return Ok(Energies { free, without_entropy: Some(without_entropy), sigma_0: Some(sigma_0) });
                }
                _ => {
                    let expected = if free.is_none() { "free  energy   TOTEN  =" } else { "energy  without entropy=" };
                    return Err(self.error(format!("expected `{expected}`, found `{}`", start_of(text))));
                }
            }
        }
    }
}

impl<R: BufRead> Iterator for OutcarReader<R> {
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

/// What a line says.
#[derive(Debug, PartialEq)]
enum Mark {
    /// A run begins.
    Head,
    /// An electronic step of the ionic step of this number begins.
    Iteration(String),
    /// The electronic steps of an ionic step have reached EDIFF.
    Converged,
    /// Stresses follow.
    Stresses { by_force_field: bool },
    /// The stress.
    Stress,
    /// Lattice vectors follow.
    Lattice,
    /// Positions and forces follow.
    Positions,
    /// Magnetic moments along x, y or z follow.
    Moments(usize),
    /// The energies of an ionic step follow.
    Energies,
    /// The energies of a step that a machine-learned force field has predicted follow.
    Predicted,
    /// Nothing of all this.
    Other,
}

impl Mark {
    /// What a line says that has no space at its ends.
    fn of(text: &str) -> Self {
        // Most lines say nothing, and their first letter tells.
        match text.as_bytes() {
            [b'-', ..] => match iteration(text) {
                Some(ionic) => Self::Iteration(ionic.to_owned()),
                None if text.contains(" aborting loop because EDIFF is reached ") => Self::Converged,
                None => Self::Other,
            },
            [b'v', ..] if text.starts_with("vasp.") => Self::Head,
            [b'F', ..] if text.starts_with("FREE ENERGIE OF THE ION-ELECTRON SYSTEM") => Self::Energies,
            [b'M', ..] if text.starts_with("ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM") => Self::Predicted,
            [b'F', ..] if text.starts_with("FORCE on cell") => Self::Stresses { by_force_field: false },
            [b'M', ..] if text.starts_with("ML FORCE on cell") => Self::Stresses { by_force_field: true },
            [b'i', ..] if text.starts_with("in kB ") => Self::Stress,
            [b'd', ..] if text.starts_with("direct lattice vectors ") => Self::Lattice,
            [b'P', ..] if text.starts_with("POSITION ") && text.ends_with("TOTAL-FORCE (eV/Angst)") => Self::Positions,
            b"magnetization (x)" => Self::Moments(0),
            b"magnetization (y)" => Self::Moments(1),
            b"magnetization (z)" => Self::Moments(2),
            _ => Self::Other,
        }
    }
}

/// The number of the ionic step, of the line that begins an electronic step: `--- Iteration      1(   2)  ---`.
fn iteration(text: &str) -> Option<&str> {
    let (ionic, _) = text.split_once(" Iteration ")?.1.split_once('(')?;
    Some(ionic.trim())
}

/// The numbers behind each `=` of a line.
fn values(text: &str) -> Result<Vec<f64>, String> {
    let value = |text: &str| numbers(text.split_whitespace().next().unwrap_or_default()).map(|[value]| value);
    text.split('=')
        .skip(1)
        .map(value)
        .collect::<Result<_, _>>()
        .map_err(|message| format!("`{}`: {message}", start_of(text)))
}

/// Whether a line is a rule, above or below a table.
fn is_rule(text: &str) -> bool {
    text.trim_start().starts_with("---")
}

fn start_of(text: &str) -> String {
    text.chars().take(80).collect()
}

fn lacks(ionic: &str, what: &str) -> String {
    const REMEDY: &str = "VASP prints it in each step unless NWRITE is below 2: read the vasprun.xml of the run";
    format!("ionic step {ionic} has no {what}; {REMEDY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_look_alike_are_told_apart() {
        let dashes = "-".repeat(24);
        for (line, expected) in [
            (format!("{dashes} Iteration      1(   2)  {dashes}"), Mark::Iteration("1".into())),
            (format!("{dashes} Iteration   12(  10)  {dashes}"), Mark::Iteration("12".into())),
            (format!("{dashes} aborting loop because EDIFF is reached {dashes}"), Mark::Converged),
            (format!("{dashes} aborting loop EDIFF was not reached (unconverged)  {dashes}"), Mark::Other),
            (format!("{dashes} aborting loop because hard stop was set {dashes}"), Mark::Other),
            (dashes, Mark::Other),
            ("FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)".into(), Mark::Energies),
            ("ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)".into(), Mark::Predicted),
            ("Free energy of the ion-electron system (eV)".into(), Mark::Other),
            ("FORCE on cell =-STRESS in cart. coord.  units (eV):".into(), Mark::Stresses { by_force_field: false }),
            (
                "ML FORCE on cell =-STRESS in cart. coord. units (eV/cell)".into(),
                Mark::Stresses { by_force_field: true },
            ),
            ("FORCES acting on ions".into(), Mark::Other),
            ("POSITION                    TOTAL-FORCE (eV/Angst)".into(), Mark::Positions),
            ("POSITION                    TOTAL-FORCE (eV/Angst) (ML)".into(), Mark::Other),
            ("position of ions in cartesian coordinates  (Angst):".into(), Mark::Other),
            ("direct lattice vectors                 reciprocal lattice vectors".into(), Mark::Lattice),
            ("in kB      -4.29429    -4.58894    -4.50342     0.50047    -0.94049     0.36481".into(), Mark::Stress),
            ("magnetization (x)".into(), Mark::Moments(0)),
            ("vasp.6.3.0 20Jan22 (build Apr 09 2022 18:33:31) complex".into(), Mark::Head),
            (String::new(), Mark::Other),
        ] {
            assert_eq!(Mark::of(&line), expected, "{line}");
        }
    }

    #[test]
    fn energies_of_a_line() {
        assert_eq!(values("free  energy   TOTEN  =       -71.29625740 eV"), Ok(vec![-71.2962574]));
        let line = "energy  without entropy=      -1.50000000  energy(sigma->0) =      -1.25000000";
        assert_eq!(values(line), Ok(vec![-1.5, -1.25]));
        assert!(values("free  energy   TOTEN  = ****************** eV").unwrap_err().contains("no room for one"));
    }
}
