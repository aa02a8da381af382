//! Trajectories of ASE: an item of [ULM](super::ulm) for each step.
//!
//! | entry | what |
//! |---|---|
//! | `numbers`, `pbc`, `masses`, `constraints` (JSON in JSON) | of the first step, and of any that has `numbers` |
//! | `positions`, `cell`, `tags`, `momenta` | of every step |
//! | `magmoms`, `charges` | of every step: initial ones |
//! | `calculator.` | `name`, `parameters`, and results: a step without them has no labels |
//! | `info` | notes |
//!
//! A step that has no `numbers` has those of the first step, and its periodic directions and constraints with them,
//! however many other steps lie between.

use std::fs::File;
use std::io::{Read, Seek};

use serde_json::Value;

use super::array::{Array, shown};
use super::atoms::{Atoms, is_property};
use super::json::parse;
use super::row::periodic;
use super::ulm::{Entries, Entry, MAGIC, Ulm};
use crate::formats::{Format, Frame, Frames, Input};
use crate::{Error, Result};

/// What trajectories of before 2014 begin with.
const PICKLED: &[u8] = b"PickleTrajectory";

/// What a file of ULM is for if it is a trajectory.
const TAG: &str = "ASE-Trajectory";

/// A trajectory of ASE, `.traj`.
#[derive(Debug, Clone, Copy)]
pub struct Trajectory;

impl Format for Trajectory {
    fn name(&self) -> &'static str {
        "ase-traj"
    }

    /// Any file of ULM, and any old trajectory: the reader says best which of them it reads.
    fn recognises(&self, start: &[u8]) -> bool {
        MAGIC.iter().any(|magic| start.starts_with(magic)) || start.starts_with(PICKLED)
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let path = input.path()?;
        let file = File::open(path).map_err(Error::io(path, "read"))?;
        Ok(Box::new(TrajectoryReader::new(file, input.name())?))
    }
}

/// Iterates over the steps of a trajectory. After an error the iterator ends.
pub struct TrajectoryReader<R> {
    file: Ulm<R>,
    name: String,
    index: u64,
    /// Of the first step.
    first: Option<Composition>,
}

/// What steps share.
#[derive(Clone)]
struct Composition {
    numbers: Array,
    periodic: [bool; 3],
    constraints: Value,
}

impl<R: Read + Seek> TrajectoryReader<R> {
    /// Reads from `input`; `name` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Path`] where the file as a whole is no trajectory, or an old one.
    pub fn new(mut input: R, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let wrong = |message: String| Error::Path { path: name.clone().into(), message };
        if is_pickled(&mut input).map_err(Error::io(&name, "read"))? {
            let remedy = format!("`python3 -m ase.io.trajectory {name}` rewrites it");
            return Err(wrong(format!("is an old trajectory of ASE, which is a pickle: {remedy}")));
        }
        let file = Ulm::new(input).map_err(wrong)?;
        if file.tag() != TAG {
            return Err(wrong(format!("is a file of ULM for `{}`, expected one for `{TAG}`", file.tag())));
        }
        Ok(Self { file, name, index: 0, first: None })
    }

    fn frame(&mut self) -> Result<Frame, String> {
        let item = self.file.item(self.index)?;
        let step = Entries::of(&item)?;
        let composition = self.composition(step)?;
        let positions = self.array(step, "positions")?.ok_or("no `positions`")?;
        let mut atoms = Atoms::new(composition.numbers, positions)?;
        atoms.put_in_cell(self.array(step, "cell")?, composition.periodic)?;
        for (name, meaning) in [("tags", "tags"), ("magmoms", "initial_magmoms"), ("charges", "initial_charges")] {
            if let Some(array) = self.array(step, name)? {
                atoms.property(meaning, array)?;
            }
        }
        self.results(step, &mut atoms)?;
        atoms.constrain(&composition.constraints)?;
        match step.get("info") {
            Some(Entry::Value(info)) => atoms.notes("info", info, &[])?,
            Some(_) => return Err("`info` is no dictionary of values".into()),
            None => {}
        }
        Ok(Frame { index: usize::try_from(self.index).unwrap_or(usize::MAX), ..atoms.into_frame() })
    }

    /// Of this step, or of the first one.
    fn composition(&mut self, step: Entries<'_>) -> Result<Composition, String> {
        let Some(numbers) = self.array(step, "numbers")? else {
            if let Some(name) = ["pbc", "constraints"].iter().find(|name| step.get(name).is_some()) {
                return Err(format!("`{name}` without `numbers`"));
            }
            return self.first.clone().ok_or_else(|| "no `numbers`".into());
        };
        if let Some(Entry::Value(version)) = step.get("version")
            && version.as_u64() != Some(1)
        {
            return Err(format!("a step of version `{}`, expected 1", shown(version)));
        }
        let constraints = match step.get("constraints") {
            None => Value::Null,
            Some(Entry::Value(Value::String(text))) => {
                parse(text.as_bytes()).map_err(|message| format!("`constraints`: {message}"))?
            }
            Some(Entry::Value(list)) => list.clone(),
            Some(_) => return Err("`constraints` are an array, expected JSON".into()),
        };
        let own = Composition { numbers, periodic: periodic(self.array(step, "pbc")?)?, constraints };
        if self.index == 0 {
            self.first = Some(own.clone());
        }
        Ok(own)
    }

    /// Adds what a calculator said, if one did.
    fn results(&mut self, step: Entries<'_>, atoms: &mut Atoms) -> Result<(), String> {
        let Some(Entry::Group(calculator)) = step.get("calculator") else { return Ok(()) };
        for (name, entry) in calculator.iter().filter(|(name, _)| *name != "parameters") {
            match entry {
                Entry::Value(value) if name == "name" => atoms.note("calculator", "calculator", value, &[])?,
                Entry::Value(value) if !is_property(name) => atoms.note("calculator", name, value, &[])?,
                entry => {
                    let array = self.file.array(entry).map_err(|message| format!("`calculator.{name}`: {message}"))?;
                    let added = array.map_or(Ok(()), |array| atoms.property(name, array));
                    added.map_err(|message| format!("calculator: {message}"))?;
                }
            }
        }
        Ok(())
    }

    /// The array of this name, if the step has one.
    fn array(&mut self, step: Entries<'_>, name: &str) -> Result<Option<Array>, String> {
        let array = step.get(name).map(|entry| self.file.array(entry)).transpose();
        Ok(array.map_err(|message| format!("`{name}`: {message}"))?.flatten())
    }
}

/// Whether a file begins as old trajectories do.
fn is_pickled(input: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    input.rewind()?;
    let mut start = Vec::new();
    input.take(PICKLED.len() as u64).read_to_end(&mut start)?;
    Ok(start == PICKLED)
}

impl<R: Read + Seek> Iterator for TrajectoryReader<R> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.file.len() {
            return None;
        }
        let index = usize::try_from(self.index).unwrap_or(usize::MAX);
        let frame = self.frame().map_err(Error::frame(&self.name, 0, index));
        self.index = if frame.is_ok() { self.index + 1 } else { self.file.len() };
        Some(frame)
    }
}
