//! Labelled structures and graphs in memory, and which of them are trained on.

use std::path::Path;

use isograd_data::formats::Formats;
use isograd_data::{HostGraph, Source, SplitBy};
use isograd_structure::Structure;
use isograd_train::{Error, Result, SampleLabels};

/// Labelled structures, in eV and angstrom, from files or from your own program.
#[derive(Debug, Clone, Default)]
pub struct Data {
    structures: Vec<Structure>,
}

impl From<Vec<Structure>> for Data {
    fn from(structures: Vec<Structure>) -> Self {
        Self { structures }
    }
}

impl Data {
    /// Reads a file in eV and angstrom, plain or compressed: extended XYZ, or another of the [formats](Formats).
    ///
    /// # Errors
    /// [`Error::Data`] naming file, line and frame.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(&Formats::default(), path, &Source::default())
    }

    /// Reads a file with formats of your own, or whose labels have other names or units, or frames of a group to be split by.
    ///
    /// # Errors
    /// As [`Data::open`].
    pub fn open_with(formats: &Formats, path: impl AsRef<Path>, source: &Source) -> Result<Self> {
        let structures: Result<_, _> = source.read_file_with(formats, path.as_ref())?.collect();
        Ok(Self { structures: structures? })
    }

    /// All structures.
    pub fn structures(&self) -> &[Structure] {
        &self.structures
    }

    /// Holds some of the structures out.
    ///
    /// # Errors
    /// [`Error::Config`] for a share that is not between 0 and 1; [`Error::Source`] where there are fewer than two groups, or
    /// a structure has none.
    pub fn split(self, split: Split) -> Result<SplitData> {
        let Split { by, fraction, seed } = split;
        if !(fraction > 0.0 && fraction < 1.0) {
            let message = format!("is {fraction}, expected above 0 and below 1");
            return Err(Error::Config { place: "the share held out".into(), message });
        }
        let parts = isograd_data::split(self.structures, &by, fraction, seed, 0);
        let (training, validation) = parts.map_err(|message| Error::Source { name: "data".into(), message })?;
        Ok(SplitData { training, validation })
    }
}

/// What is held out for validation.
#[derive(Debug, Clone)]
pub struct Split {
    by: SplitBy,
    fraction: f64,
    seed: u64,
}

impl Split {
    /// A share of the structures, each for itself.
    pub fn by_frame(fraction: f64) -> Self {
        Self { by: SplitBy::Frame, fraction, seed: 0 }
    }

    /// A share of the structures, those of one chemical formula together.
    pub fn by_formula(fraction: f64) -> Self {
        Self { by: SplitBy::Formula, fraction, seed: 0 }
    }

    /// A share of the structures, those of one [group](Structure::group) together.
    pub fn by_group(fraction: f64) -> Self {
        Self { by: SplitBy::Key("group".into()), fraction, seed: 0 }
    }

    /// Which ones are held out depends on this seed. Default 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// Structures to train on, and structures held out.
#[derive(Debug, Clone)]
pub struct SplitData {
    training: Vec<Structure>,
    validation: Vec<Structure>,
}

impl SplitData {
    /// A split of your own.
    pub fn new(training: Vec<Structure>, validation: Vec<Structure>) -> Self {
        Self { training, validation }
    }

    /// Those to train on.
    pub fn training(&self) -> &[Structure] {
        &self.training
    }

    /// Those held out.
    pub fn validation(&self) -> &[Structure] {
        &self.validation
    }
}

/// Labelled graphs in memory: nodes of some kinds, in space of any number of dimensions or in none, with edges as they are
/// given.
#[derive(Debug, Clone)]
pub struct Graphs {
    pub(crate) kinds: usize,
    pub(crate) training: Vec<(HostGraph, SampleLabels)>,
    pub(crate) validation: Vec<(HostGraph, SampleLabels)>,
}

impl Graphs {
    /// Graphs to train on and graphs held out, each with its labels target by target; nodes are of kinds below `kinds`.
    pub fn new(
        kinds: usize,
        training: Vec<(HostGraph, SampleLabels)>,
        validation: Vec<(HostGraph, SampleLabels)>,
    ) -> Self {
        Self { kinds, training, validation }
    }
}
