//! The packed store: a folder of Arrow files that are mapped into memory, with an index of all that training asks of a graph
//! before it reads the graph itself.
//!
//! ```text
//! STORE/
//!     store.json                  what the store is made of, its statistics and its fingerprint
//!     index-000002.arrow          a row for each graph: atoms, edges, composition, labels, hash, energy, ...
//!     compositions-000002.json    atoms of each element, of each different composition
//!     shards/000000-0000.arrow    the graphs: numbers, positions, cell, energy, forces, ...
//! ```
//!
//! Graphs are in eV and angstrom. Opening a store reads the header and maps the index; of a graph those pages are read that
//! it lies in. Every graph is held against its hash in the index when it is read. Processes on one machine share what they have
//! mapped.

mod format;
mod header;
mod index;
mod pack;
mod resident;
mod rows;
mod shard;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use isograd_structure::{Element, Structure};
use memmap2::Advice;
use serde::{Deserialize, Serialize};

pub use format::PackedStore;
pub use header::{Header, PackedInput, Shard, Statistics, Unit};
pub use index::{Entry, Index, Labels};
pub use pack::{PackOptions, Packing, ReadInput, Structures, pack};

use self::rows::Row;
use self::shard::Mapped;
use crate::{Error, Result};

/// Graphs in each piece of a shard's table but the last.
const PIECE: usize = 256;

/// The folder of the shards.
const SHARDS: &str = "shards";

/// How many atoms there are of each element, in the order of atomic numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Composition(pub Vec<(Element, u32)>);

impl Composition {
    /// That of atoms of these elements.
    pub fn of(elements: &[Element]) -> Self {
        let mut sorted = elements.to_vec();
        sorted.sort_unstable();
        Self(sorted.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect())
    }
}

/// A store that was opened.
pub struct Store {
    folder: PathBuf,
    header: Header,
    index: Index,
    compositions: Vec<Composition>,
    shards: Vec<ShardFile>,
}

/// A file of graphs.
struct ShardFile {
    /// The number of its first graph.
    first: usize,
    path: PathBuf,
    /// Where it is mapped, once it was needed.
    mapped: RwLock<Option<Arc<Mapped>>>,
}

impl ShardFile {
    fn mapped(&self) -> Result<Arc<Mapped>> {
        if let Some(mapped) = &*self.mapped.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(mapped.clone());
        }
        let mut place = self.mapped.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been first.
        if let Some(mapped) = &*place {
            return Ok(mapped.clone());
        }
        Ok(place.insert(Arc::new(Mapped::open(&self.path, Advice::Random)?)).clone())
    }
}

impl Store {
    /// Whether a folder is a store.
    pub fn is_at(folder: &Path) -> bool {
        Header::is_in(folder)
    }

    /// Opens a store. Shards are opened when they are needed; that all of them are there is looked at here.
    ///
    /// # Errors
    /// [`Error::Path`] naming the file of the store that is missing or damaged, [`Error::Io`] where one cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let header = Header::read(folder)?;
        let path = folder.join(&header.index.name);
        let index = Index::open(&path, header.graphs, header.cutoffs.len())?;
        let compositions = read_compositions(&folder.join(&header.compositions.name))?;
        let mut shards = Vec::new();
        let mut first = 0;
        for shard in header.units.iter().flat_map(|unit| &unit.shards) {
            let path = folder.join(SHARDS).join(&shard.name);
            let bytes = path.metadata().map_err(Error::io(&path, "read"))?.len();
            if bytes != shard.bytes {
                let message = format!("is damaged: it has {bytes} bytes, expected {}", shard.bytes);
                return Err(Error::Path { path, message });
            }
            shards.push(ShardFile { first, path, mapped: RwLock::default() });
            first += shard.graphs;
        }
        if first != header.graphs {
            let message = format!("is damaged: its shards have {first} graphs, expected {}", header.graphs);
            return Err(Error::Path { path: folder.to_owned(), message });
        }
        Ok(Self { folder: folder.to_owned(), header, index, compositions, shards })
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its index lies.
    pub fn index_file(&self) -> PathBuf {
        self.folder.join(&self.header.index.name)
    }

    /// What it is made of.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What is known of each graph without reading it.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The different compositions, by their numbers in the index.
    pub fn compositions(&self) -> &[Composition] {
        &self.compositions
    }

    /// Number of graphs.
    pub fn len(&self) -> usize {
        self.header.graphs
    }

    /// Whether there are no graphs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads a graph.
    ///
    /// # Errors
    /// [`Error::Path`] naming the shard, where it is damaged.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn structure(&self, graph: usize) -> Result<Structure> {
        self.read(graph).map(|row| row.structure)
    }

    /// The input that a graph is from, and its position there, from 0.
    ///
    /// # Errors
    /// As [`Store::structure`].
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn place(&self, graph: usize) -> Result<(PathBuf, u64)> {
        let Row { file, frame, .. } = self.read(graph)?;
        let input = self.header.inputs().nth(file as usize);
        let input = input.ok_or_else(|| self.damaged(graph, "it is of an input that the header does not know"))?;
        Ok((input.path.clone(), frame))
    }

    /// Reads every graph and holds the index and the compositions against their hashes: a minute for every hundred gigabytes
    /// or so.
    ///
    /// # Errors
    /// As [`Store::structure`], of the first graph that is damaged; [`Error::Path`] naming the index or the compositions.
    pub fn verify(&self) -> Result<()> {
        for part in [&self.header.index, &self.header.compositions] {
            let path = self.folder.join(&part.name);
            let mut hasher = blake3::Hasher::new();
            let mut file = std::fs::File::open(&path).map_err(Error::io(&path, "read"))?;
            std::io::copy(&mut file, &mut hasher).map_err(Error::io(&path, "read"))?;
            if hasher.finalize().to_hex().as_str() != part.hash {
                let message = "is damaged: its bytes are not those that were written".into();
                return Err(Error::Path { path, message });
            }
        }
        use rayon::prelude::*;
        (0..self.len()).into_par_iter().try_for_each(|graph| self.read(graph).map(|_| ()))
    }

    fn read(&self, graph: usize) -> Result<Row> {
        let hash = self.index.hash(graph);
        let shard = self.shard(graph);
        let place = graph - shard.first;
        let piece = shard.mapped()?.piece(place / PIECE)?;
        let row = rows::row(&piece, place % PIECE).map_err(|message| self.damaged(graph, &message))?;
        if content_hash(&row.structure) != hash {
            return Err(self.damaged(graph, "it is not what was written"));
        }
        Ok(row)
    }

    /// The shard that a graph is in.
    fn shard(&self, graph: usize) -> &ShardFile {
        let next = self.shards.partition_point(|shard| shard.first <= graph);
        &self.shards[next - 1]
    }

    fn damaged(&self, graph: usize, message: &str) -> Error {
        let ShardFile { first, path, .. } = self.shard(graph);
        let message = format!("is damaged in graph {} (from 0): {message}", graph - first);
        Error::Path { path: path.clone(), message }
    }
}

fn read_compositions(path: &Path) -> Result<Vec<Composition>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
    let damaged = |error| Error::Path { path: path.to_owned(), message: format!("is damaged: {error}") };
    serde_json::from_str(&text).map_err(damaged)
}

/// A hash of everything in a structure but its group.
fn content_hash(structure: &Structure) -> u64 {
    let Structure { geometry, elements, energy, forces, stress, columns, force_mask, weight, group: _, remarks: _ } =
        structure;
    let mut hasher = blake3::Hasher::new();
    let mut numbers = |numbers: &[f64]| {
        hasher.update(&(numbers.len() as u64).to_le_bytes());
        numbers.iter().for_each(|number| {
            hasher.update(&number.to_le_bytes());
        });
    };
    numbers(geometry.positions.as_flattened());
    numbers(geometry.cell.as_ref().map_or(&[], |cell| cell.0.as_flattened()));
    numbers(energy.as_slice());
    numbers(forces.as_deref().unwrap_or_default().as_flattened());
    numbers(stress.as_ref().map_or(&[], |stress| stress.as_flattened()));
    numbers(weight.as_slice());
    columns.values().for_each(|column| numbers(column));
    for name in columns.keys() {
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&[u8::from(forces.is_some()), u8::from(force_mask.is_some())]);
    for is_label in force_mask.iter().flatten() {
        hasher.update(&[u8::from(*is_label)]);
    }
    hasher.update(&geometry.periodic.map(u8::from));
    for element in elements {
        hasher.update(&[element.number()]);
    }
    short(&hasher)
}

/// A hash of the name of a group, never 0.
fn group_hash(group: &str) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(group.as_bytes());
    (short(&hasher) as u32).max(1)
}

pub(crate) fn short(hasher: &blake3::Hasher) -> u64 {
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
