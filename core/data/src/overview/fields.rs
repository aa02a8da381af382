//! The keys and columns that frames have: in how many they are, what they hold, and what they are used as.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use crate::formats::{Data, Frame, Value};
use crate::suggest::{Seen, Suggestion, is_state, label_of};
use crate::{Keys, Source};

/// Names that are told apart; a file may have a new one in each frame.
const NAMES: usize = 512;

/// Values of a key that are told apart.
const VALUES: usize = 1024;

/// A key of frames, or a column of atoms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Whether it is a column, with values for each atom, and not a key of the frame.
    pub of_atoms: bool,
    /// Frames that have it.
    pub frames: usize,
    /// What it holds where it was first met: `number`, `integer`, `text` or `logical`.
    pub holds: &'static str,
    /// How many values it has, of each atom for a column: 1 of text.
    pub width: usize,
    /// How many different values a key has; `None` of columns, and where these are too many to count.
    pub different: Option<usize>,
    /// What it is used as, if it is: `energy`, `forces`, `stress`, `group`, `elements`, `positions`, `cell`, `periodicity`, `target`.
    pub used_as: Option<&'static str>,
    /// The label that it looks like, where it is not used: `energy`, `forces`, `stress` or `virial`.
    pub looks_like: Option<&'static str>,
    /// Whether it says of the electrons what tells structures apart, and is not read.
    pub is_state: bool,
}

impl Field {
    fn seen(&self) -> Seen<'_> {
        let numbers = matches!(self.holds, "number" | "integer").then_some(self.width);
        Seen { name: &self.name, of_atoms: self.of_atoms, numbers, frames: self.frames }
    }
}

/// Fields as they are met.
pub(super) struct Fields {
    source: Source,
    list: Vec<Field>,
    places: HashMap<(bool, String), usize>,
    /// Hashes of the values of each key; empty once there are too many.
    values: Vec<Option<HashSet<u64>>>,
}

impl Fields {
    /// None yet, of files that a source reads.
    pub(super) fn new(source: &Source) -> Self {
        Self { source: source.clone(), list: Vec::new(), places: HashMap::new(), values: Vec::new() }
    }

    /// Takes those of a frame into account.
    pub(super) fn add(&mut self, frame: &Frame) {
        // What names the columns is no key of a person's.
        for (name, value) in frame.header.iter().filter(|(name, _)| *name != "Properties") {
            let Some(place) = self.place(false, name, || of_value(value)) else { continue };
            self.list[place].frames += 1;
            if let Some(values) = &mut self.values[place] {
                let mut hasher = DefaultHasher::new();
                value.text().hash(&mut hasher);
                values.insert(hasher.finish());
                if values.len() > VALUES {
                    self.values[place] = None;
                }
            }
        }
        for column in &frame.columns {
            let holds = match &column.data {
                Data::Real(_) => "number",
                Data::Integer(_) => "integer",
                Data::Text(_) => "text",
                Data::Logical(_) => "logical",
            };
            if let Some(place) = self.place(true, &column.name, || (holds, column.width)) {
                self.list[place].frames += 1;
            }
        }
    }

    fn place(&mut self, of_atoms: bool, name: &str, what: impl FnOnce() -> (&'static str, usize)) -> Option<usize> {
        // A name is looked for in every frame, and is new in few.
        let key = (of_atoms, name.to_owned());
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        if self.list.len() == NAMES {
            return None;
        }
        let (holds, width) = what();
        let used_as = self.use_of(of_atoms, name);
        let mut field = Field {
            name: name.to_owned(),
            of_atoms,
            frames: 0,
            holds,
            width,
            different: None,
            used_as,
            looks_like: None,
            is_state: !of_atoms && used_as.is_none() && is_state(name),
        };
        field.looks_like = used_as.is_none().then(|| label_of(&field.seen())).flatten().map(|label| label.name());
        self.list.push(field);
        self.values.push((!of_atoms).then(HashSet::new));
        self.places.insert(key, self.list.len() - 1);
        Some(self.list.len() - 1)
    }

    fn use_of(&self, of_atoms: bool, name: &str) -> Option<&'static str> {
        let keys = &self.source.keys;
        if self.source.columns.iter().any(|column| column.of_nodes == of_atoms && column.key == name) {
            return Some("target");
        }
        match (of_atoms, name) {
            (true, "pos" | "positions") => Some("positions"),
            (true, "species" | "element" | "symbols" | "Z" | "numbers") => Some("elements"),
            (true, name) if keys.force_mask.as_deref() == Some(name) => Some("force mask"),
            (true, name) => (name == keys.forces).then_some("forces"),
            (false, "Lattice") => Some("cell"),
            (false, "pbc") => Some("periodicity"),
            (false, name) if name == keys.energy => Some("energy"),
            (false, name) if name == keys.stress => Some("stress"),
            (false, name) if name == keys.virial => Some("virial"),
            (false, name) if keys.weight.as_deref() == Some(name) => Some("weight"),
            (false, name) => (keys.group.as_deref() == Some(name)).then_some("group"),
        }
    }

    /// Names that labels probably have, where there is none under `keys`.
    pub(super) fn suggestion(&self, keys: &Keys) -> Suggestion {
        Suggestion::of(&self.list.iter().map(Field::seen).collect::<Vec<_>>(), keys)
    }

    /// All of them, in the order in which they were met.
    pub(super) fn list(self) -> Vec<Field> {
        let with_values = |(mut field, values): (Field, Option<HashSet<u64>>)| {
            field.different = values.map(|values| values.len());
            field
        };
        self.list.into_iter().zip(self.values).map(with_values).collect()
    }
}

/// What a key holds, and how many values.
fn of_value(value: &Value) -> (&'static str, usize) {
    match value.numbers() {
        Some(numbers)
            if numbers.iter().all(|number| number.fract() == 0.0) && !value.text().contains(['.', 'e', 'E']) =>
        {
            ("integer", numbers.len())
        }
        Some(numbers) => ("number", numbers.len()),
        None if value.booleans().is_some_and(|all| !all.is_empty()) => {
            ("logical", value.booleans().map_or(1, |all| all.len()))
        }
        None => ("text", 1),
    }
}
