//! `store.json`: what a store is made of. It is written last, so a folder without it is no complete store.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use isograd_structure::Element;
use serde::{Deserialize, Serialize};

use super::index::{Entry, Labels};
use crate::output::Output;
use crate::{Error, Result};

/// The version that is written, and the only one that is read.
const VERSION: u32 = 3;

/// The name of the header in a store.
const NAME: &str = "store.json";

/// What a store is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the layout.
    version: u32,
    /// A hash of all graphs in their order: two stores with the same fingerprint hold the same.
    pub fingerprint: String,
    /// Number of graphs.
    pub graphs: usize,
    /// Lengths within which the index has numbers of edges, in angstrom.
    pub cutoffs: Vec<f64>,
    /// The key whose values are the groups of a split, if there was one.
    pub group_key: Option<String>,
    /// What all graphs have together.
    pub statistics: Statistics,
    /// Inputs that were packed together, and where their graphs are.
    pub units: Vec<Unit>,
    /// The file with the index.
    pub(super) index: Part,
    /// The file with the compositions.
    pub(super) compositions: Part,
}

/// A file beside the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its name.
    pub(super) name: String,
    /// The BLAKE3 hash of its bytes.
    pub(super) hash: String,
}

/// What graphs have together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Graphs.
    pub graphs: usize,
    /// Atoms of all graphs.
    pub atoms: usize,
    /// Edges of all graphs within each cutoff.
    pub edges: Vec<usize>,
    /// Graphs that repeat in space.
    pub periodic: usize,
    /// Graphs with an energy.
    pub with_energy: usize,
    /// Graphs with forces.
    pub with_forces: usize,
    /// Graphs with a stress.
    pub with_stress: usize,
    /// Graphs with a column that was asked for, by its name.
    pub with_columns: BTreeMap<String, usize>,
    /// Graphs with forces that are no labels.
    #[serde(default)]
    pub with_masked: usize,
    /// Graphs that count more or less than one in the loss.
    #[serde(default)]
    pub with_weight: usize,
    /// Graphs that are not trusted, whatever limits are set.
    pub faulty: usize,
    /// Numbers in all forces together.
    pub force_components: usize,
    /// Root mean square of all force components, in eV/angstrom.
    pub force_rms: Option<f64>,
    /// Root mean square of all stress components, in eV/angstrom^3.
    pub stress_rms: Option<f64>,
    /// Atoms of each element.
    pub elements: BTreeMap<Element, usize>,
}

impl Statistics {
    /// Of entries with these compositions.
    pub(super) fn add(&mut self, entry: &Entry, composition: &[(Element, u32)]) {
        let labels = entry.labels;
        self.graphs += 1;
        self.atoms += entry.atoms as usize;
        self.edges.resize(entry.edges.len(), 0);
        self.edges.iter_mut().zip(&entry.edges).for_each(|(sum, edges)| *sum += *edges as usize);
        self.periodic += usize::from(labels.has(Labels::PERIODIC));
        self.with_energy += usize::from(labels.has(Labels::ENERGY));
        self.with_masked += usize::from(entry.masked > 0);
        self.with_weight += usize::from(entry.weight != 1.0);
        self.faulty += usize::from(entry.fault != 0);
        let mean = |before: Option<f64>, count: f64, squares: f32, components: f64| {
            let sum = before.map_or(0.0, |rms| rms * rms * count) + f64::from(squares);
            (sum / (count + components)).sqrt()
        };
        if labels.has(Labels::STRESS) {
            let count = 9.0 * self.with_stress as f64;
            self.stress_rms = Some(mean(self.stress_rms, count, entry.stress_squares, 9.0));
            self.with_stress += 1;
        }
        for (element, count) in composition {
            *self.elements.entry(*element).or_default() += *count as usize;
        }
        if labels.has(Labels::FORCES) {
            let (count, components) = (self.force_components, entry.force_components());
            if components > 0 {
                self.force_rms = Some(mean(self.force_rms, count as f64, entry.force_squares, components as f64));
            }
            self.force_components += components;
            self.with_forces += 1;
        }
    }
}

/// Inputs that were packed together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Files and folders, in order.
    pub inputs: Vec<PackedInput>,
    /// The files that their graphs are in, in order.
    pub shards: Vec<Shard>,
}

/// A file or folder whose graphs are in a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackedInput {
    /// Where it was.
    pub path: PathBuf,
    /// Its size in bytes; of a folder, that of the files in it.
    pub bytes: u64,
    /// When it was changed last, in nanoseconds since 1970, where the system says so.
    pub modified: Option<u64>,
    /// Graphs in it.
    pub graphs: usize,
}

/// A file with graphs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// Its name in the folder `shards`.
    pub name: String,
    /// Graphs in it.
    pub graphs: usize,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Header {
    pub(super) fn new(
        fingerprint: String,
        cutoffs: Vec<f64>,
        group_key: Option<String>,
        statistics: Statistics,
        units: Vec<Unit>,
        [index, compositions]: [Part; 2],
    ) -> Self {
        let graphs = statistics.graphs;
        Self { version: VERSION, fingerprint, graphs, cutoffs, group_key, statistics, units, index, compositions }
    }

    /// Whether a folder has a header, of whatever version.
    pub(super) fn is_in(folder: &Path) -> bool {
        folder.join(NAME).is_file()
    }

    /// Reads the header of a store.
    ///
    /// # Errors
    /// [`Error::Path`] where it is none, or of another version.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let path = folder.join(NAME);
        let wrong = |message: String| Error::Path { path: path.clone(), message };
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        let damaged = |error: serde_json::Error| wrong(format!("is damaged: {error}"));
        let Versioned { version } = serde_json::from_str(&text).map_err(damaged)?;
        if version != VERSION {
            return Err(wrong(format!("is of a store of version {version}, expected {VERSION}: pack its files again")));
        }
        serde_json::from_str(&text).map_err(damaged)
    }

    /// Writes the header, which makes a folder a store.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(NAME), self)
    }

    /// The inputs of all units, in the order in which their graphs refer to them.
    pub fn inputs(&self) -> impl Iterator<Item = &PackedInput> {
        self.units.iter().flat_map(|unit| &unit.inputs)
    }
}

/// Writes a value as JSON, whole or not at all.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Error::Internal(format!("writing JSON: {error}")))?;
    let mut out = Output::create(path)?;
    out.write_all(text.as_bytes()).map_err(Error::io(path, "write"))?;
    out.finish()
}
