//! Packing: from files to a store. Inputs are packed in units, side by side; what a unit has made is complete or not there,
//! so packing that was broken off goes on where it was.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use arrow_ipc::writer::FileWriter;
use arrow_schema::ArrowError;
use isograd_structure::{Element, Structure, pairs};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::header::{Header, PackedInput, Part, Shard, Statistics, Unit, write_json};
use super::index::{Entry, Index, IndexWriter, Labels, Rare};
use super::rows::{self, Row};
use super::{Composition, PIECE, SHARDS, content_hash, group_hash, read_compositions};
use crate::audit::{Limits, inspect};
use crate::output::Output;
use crate::{Error, Result};

/// The folder of what units have made, until the store is complete.
const UNITS: &str = "units";

/// How a store is packed.
#[derive(Debug, Clone, PartialEq)]
pub struct PackOptions {
    /// Lengths within which edges are counted, in angstrom. Default: 5.
    pub cutoffs: Vec<f64>,
    /// The key whose values are the groups of a split, if the inputs are read with one.
    pub group_key: Option<String>,
    /// Bytes of inputs that make a unit. Default 256 MiB.
    pub unit_bytes: u64,
    /// Most graphs in a file of the store. Default 65,536.
    pub shard_graphs: usize,
    /// Bytes from which on a file of the store is closed. Default 256 MiB.
    pub shard_bytes: u64,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            cutoffs: vec![5.0],
            group_key: None,
            unit_bytes: 256 << 20,
            shard_graphs: 1 << 16,
            shard_bytes: 256 << 20,
        }
    }
}

/// How far packing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packing {
    /// Graphs that were packed since it began.
    pub graphs: usize,
    /// Bytes of inputs of complete units.
    pub bytes: u64,
    /// Bytes of all inputs.
    pub all_bytes: u64,
}

/// The structures of an input, one after the other.
pub type Structures = Box<dyn Iterator<Item = Result<Structure>> + Send>;

/// How the structures of an input are read.
pub type ReadInput<'a> = dyn Fn(&Path) -> Result<Structures> + Sync + 'a;

/// Packs inputs into a new store, goes on with one that was broken off, or appends to a complete one what is not yet in it.
/// `progress` is called now and then, from any thread.
///
/// # Errors
/// What `read` returns, [`Error::Path`] where the folder is something else, is being packed by
/// another process, has other cutoffs, or an input has changed since it was packed, [`Error::Io`] where the
/// folder cannot be written.
pub fn pack(
    read: &ReadInput<'_>,
    inputs: &[PathBuf],
    folder: &Path,
    options: &PackOptions,
    progress: &(dyn Fn(Packing) + Sync),
) -> Result<Header> {
    let wrong = |message: String| Error::Path { path: folder.to_owned(), message };
    let [shards, units] = [SHARDS, UNITS].map(|name| folder.join(name));
    let is_new = !folder.exists();
    let is_ours = Header::is_in(folder) || units.is_dir();
    if !is_new && !is_ours && fs::read_dir(folder).map_err(Error::io(folder, "read"))?.next().is_some() {
        return Err(wrong("is no store, and not empty: name another folder".into()));
    }
    for path in [&shards, &units] {
        fs::create_dir_all(path).map_err(Error::io(path, "write"))?;
    }
    let _lock = lock(folder)?;
    let old = if Header::is_in(folder) { Some(Header::read(folder)?) } else { None };
    if let Some(old) = &old
        && old.cutoffs != options.cutoffs
    {
        let message =
            format!("has edges within {:?} angstrom, not {:?}: pack into another folder", old.cutoffs, options.cutoffs);
        return Err(wrong(message));
    }
    if let Some(old) = &old
        && old.group_key != options.group_key
    {
        let words = |key: &Option<String>| key.as_ref().map_or("no key".into(), |key| format!("`{key}`"));
        let message = format!(
            "has groups by {}, not by {}: pack into another folder",
            words(&old.group_key),
            words(&options.group_key)
        );
        return Err(wrong(message));
    }
    let new = inputs_to_pack(inputs, old.as_ref())?;
    let plan = plan(new, options.unit_bytes);
    let first = old.as_ref().map_or(0, |old| old.units.len());
    let all_bytes = plan.iter().flatten().map(|input| input.bytes).sum();
    let (graphs, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let said = |more: usize, of: u64| {
        let graphs = graphs.fetch_add(more, Ordering::Relaxed) + more;
        let bytes = bytes.fetch_add(of as usize, Ordering::Relaxed) as u64 + of;
        progress(Packing { graphs, bytes, all_bytes });
    };
    let job = Job { read, options, folder, said: &said };
    // Positions of files count those of all units before.
    let mut files = old.as_ref().map_or(0, |old| old.inputs().count());
    let mut jobs = Vec::new();
    for (place, inputs) in plan.into_iter().enumerate() {
        let count = inputs.len();
        jobs.push((first + place, files as u32, inputs));
        files += count;
    }
    let made: Vec<Made> =
        jobs.into_par_iter().map(|(unit, first, inputs)| job.unit(unit, first, inputs)).collect::<Result<_>>()?;
    let header = complete(folder, old, made, options)?;
    fs::remove_dir_all(&units).map_err(Error::io(&units, "write"))?;
    Ok(header)
}

/// Keeps a second process from packing into the folder; what a crash leaves of it does not.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(Error::io(&path, "write"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let message = "is being packed by another process".into();
            Err(Error::Path { path: folder.to_owned(), message })
        }
        Err(fs::TryLockError::Error(error)) => Err(Error::io(&path, "lock")(error)),
    }
}

/// The inputs that are not in a store yet.
fn inputs_to_pack(inputs: &[PathBuf], old: Option<&Header>) -> Result<Vec<PackedInput>> {
    let known: HashMap<&Path, &PackedInput> =
        old.iter().flat_map(|old| old.inputs()).map(|input| (input.path.as_path(), input)).collect();
    let mut new = Vec::new();
    for path in inputs {
        let path = path.canonicalize().map_err(Error::io(path, "read"))?;
        let (bytes, modified) = size_of(&path)?;
        match known.get(path.as_path()) {
            Some(packed) if (packed.bytes, packed.modified) == (bytes, modified) => {}
            Some(_) => {
                let message = "has changed since it was packed: pack everything into another folder".into();
                return Err(Error::Path { path, message });
            }
            None => new.push(PackedInput { path, bytes, modified, graphs: 0 }),
        }
    }
    Ok(new)
}

/// Bytes of a file, or of all files in a folder, and the last time that one of them changed.
fn size_of(path: &Path) -> Result<(u64, Option<u64>)> {
    let metadata = path.metadata().map_err(Error::io(path, "read"))?;
    if !metadata.is_dir() {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        return Ok((metadata.len(), since.map(|since| since.as_nanos() as u64)));
    }
    let mut sum = (0, None);
    for entry in fs::read_dir(path).map_err(Error::io(path, "read"))? {
        let (bytes, modified) = size_of(&entry.map_err(Error::io(path, "read"))?.path())?;
        sum = (sum.0 + bytes, sum.1.max(modified));
    }
    Ok(sum)
}

/// Cuts inputs into units of about so many bytes, in order.
fn plan(inputs: Vec<PackedInput>, unit_bytes: u64) -> Vec<Vec<PackedInput>> {
    let mut units: Vec<Vec<PackedInput>> = Vec::new();
    let mut filled = u64::MAX;
    for input in inputs {
        if filled >= unit_bytes {
            units.push(Vec::new());
            filled = 0;
        }
        filled = filled.saturating_add(input.bytes);
        if let Some(unit) = units.last_mut() {
            unit.push(input);
        }
    }
    units
}

/// What a unit has made, but for its index.
#[derive(Serialize, Deserialize)]
struct Made {
    unit: Unit,
    compositions: Vec<Composition>,
    with_columns: BTreeMap<String, usize>,
}

struct Job<'a> {
    read: &'a ReadInput<'a>,
    options: &'a PackOptions,
    folder: &'a Path,
    said: &'a (dyn Fn(usize, u64) + Sync),
}

impl Job<'_> {
    /// Packs a unit, unless it is packed. Its files are numbered from `first` on.
    fn unit(&self, number: usize, first: u32, inputs: Vec<PackedInput>) -> Result<Made> {
        let units = self.folder.join(UNITS);
        let done = units.join(format!("{number:06}.json"));
        let bytes = inputs.iter().map(|input| input.bytes).sum();
        if let Some(made) = self.made(&done, &inputs)? {
            (self.said)(0, bytes);
            return Ok(made);
        }
        let path = index_of_unit(self.folder, number);
        let mut writing = Writing {
            job: self,
            number,
            index: IndexWriter::new(Output::create(&path)?, self.options.cutoffs.len(), Rare::ALL)
                .map_err(arrow(&path))?,
            shard: None,
            shards: Vec::new(),
            compositions: Compositions::default(),
            with_columns: BTreeMap::new(),
        };
        let mut inputs = inputs;
        for (place, input) in inputs.iter_mut().enumerate() {
            let mut structures = (self.read)(&input.path)?.peekable();
            while structures.peek().is_some() {
                let chunk: Vec<Structure> = structures.by_ref().take(PIECE).collect::<Result<_>>()?;
                let row =
                    |(k, structure)| Row { structure, file: first + place as u32, frame: (input.graphs + k) as u64 };
                let rows: Vec<Row> = chunk.into_iter().enumerate().map(row).collect();
                input.graphs += rows.len();
                writing.add(&rows)?;
                (self.said)(rows.len(), 0);
            }
        }
        let made = writing.finish(&path, inputs)?;
        write_json(&done, &made)?;
        (self.said)(0, bytes);
        Ok(made)
    }

    /// What a unit made before packing was broken off, if it was complete and of the same inputs.
    fn made(&self, done: &Path, inputs: &[PackedInput]) -> Result<Option<Made>> {
        if !done.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(done).map_err(Error::io(done, "read"))?;
        let Ok(made) = serde_json::from_str::<Made>(&text) else { return Ok(None) };
        let same = |(old, new): (&PackedInput, &PackedInput)| {
            (&old.path, old.bytes, old.modified) == (&new.path, new.bytes, new.modified)
        };
        let same = made.unit.inputs.len() == inputs.len() && made.unit.inputs.iter().zip(inputs).all(same);
        let there = |shard: &Shard| {
            let path = self.folder.join(SHARDS).join(&shard.name);
            path.metadata().is_ok_and(|metadata| metadata.len() == shard.bytes)
        };
        Ok((same && made.unit.shards.iter().all(there)).then_some(made))
    }
}

/// A unit that is being written.
struct Writing<'a> {
    job: &'a Job<'a>,
    number: usize,
    index: IndexWriter<Output>,
    shard: Option<OpenShard>,
    shards: Vec<Shard>,
    compositions: Compositions,
    with_columns: BTreeMap<String, usize>,
}

struct OpenShard {
    name: String,
    path: PathBuf,
    out: FileWriter<Counted>,
    graphs: usize,
}

/// An output whose bytes are counted.
struct Counted {
    out: Output,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Writing<'_> {
    /// Writes a piece of the table, and an entry for each of its rows.
    fn add(&mut self, rows: &[Row]) -> Result<()> {
        let options = self.job.options;
        let entries: Vec<Entry> = rows.par_iter().map(|row| entry(&row.structure, &options.cutoffs)).collect();
        let batch = rows::batch(rows).map_err(arrow(self.job.folder))?;
        let shard = match &mut self.shard {
            Some(shard) => shard,
            none => none.insert(OpenShard::create(self.job.folder, self.number, self.shards.len())?),
        };
        shard.out.write(&batch).map_err(arrow(&shard.path))?;
        shard.graphs += rows.len();
        let full = shard.graphs + PIECE > options.shard_graphs || shard.out.get_ref().bytes >= options.shard_bytes;
        for (mut entry, row) in entries.into_iter().zip(rows) {
            entry.composition = self.compositions.place(&row.structure.elements);
            for name in row.structure.columns.keys() {
                *self.with_columns.entry(name.clone()).or_default() += 1;
            }
            self.index.push(&entry).map_err(arrow(self.job.folder))?;
        }
        // A piece that is not full is the last one of its shard, so that graphs are found by their number alone.
        if full || rows.len() < PIECE { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<()> {
        let Some(OpenShard { name, path, out, graphs }) = self.shard.take() else { return Ok(()) };
        let Counted { out, bytes } = out.into_inner().map_err(arrow(&path))?;
        out.finish()?;
        self.shards.push(Shard { name, graphs, bytes });
        Ok(())
    }

    fn finish(mut self, index: &Path, inputs: Vec<PackedInput>) -> Result<Made> {
        self.close()?;
        self.index.finish().map_err(arrow(index))?.finish()?;
        let unit = Unit { inputs, shards: self.shards };
        Ok(Made { unit, compositions: self.compositions.list, with_columns: self.with_columns })
    }
}

impl OpenShard {
    fn create(folder: &Path, unit: usize, place: usize) -> Result<Self> {
        let name = format!("{unit:06}-{place:04}.arrow");
        let path = folder.join(SHARDS).join(&name);
        let out = Counted { out: Output::create(&path)?, bytes: 0 };
        let out = FileWriter::try_new(out, &rows::schema()).map_err(arrow(&path))?;
        Ok(Self { name, path, out, graphs: 0 })
    }
}

/// What is known of a structure; its composition is numbered later.
fn entry(structure: &Structure, cutoffs: &[f64]) -> Entry {
    // Limits of distances and forces are set by whoever trains.
    let limits = Limits { shortest_distance: 0.0, largest_force: f64::INFINITY };
    let found = inspect(structure, &limits, cutoffs.first().copied().unwrap_or(1.0));
    let count = |cutoff: f64| pairs(&structure.geometry, cutoff, cutoff).map_or(0, |pairs| pairs.edges);
    let edges = match found.fault {
        None => std::iter::once(found.pairs.edges).chain(cutoffs.iter().skip(1).map(|&cutoff| count(cutoff))).collect(),
        Some(_) => vec![0; cutoffs.len()],
    };
    let squares = |sum: f64, value: f64| sum + value * value;
    let unlabelled = structure.is_labelled().filter(|is_labelled| !is_labelled).count();
    Entry {
        atoms: structure.len() as u32,
        edges: edges.into_iter().take(cutoffs.len()).map(|edges: usize| edges as u32).collect(),
        composition: 0,
        group: structure.group.as_deref().map_or(0, group_hash),
        labels: Labels::default()
            .and(Labels::ENERGY, structure.energy.is_some())
            .and(Labels::FORCES, structure.forces.is_some())
            .and(Labels::STRESS, structure.stress.is_some())
            .and(Labels::COLUMNS, !structure.columns.is_empty())
            .and(Labels::PERIODIC, structure.geometry.periodic.contains(&true)),
        fault: found.fault.map_or(0, |fault| 1 + fault as u8),
        hash: content_hash(structure),
        energy: structure.energy.unwrap_or(f64::NAN),
        force_squares: structure.labelled_forces().fold(0.0, squares) as f32,
        largest_force: structure.labelled_forces().fold(0.0, |most: f64, value| most.max(value.abs())) as f32,
        stress_squares: structure.stress.iter().flatten().flatten().copied().fold(0.0, squares) as f32,
        shortest: found.pairs.shortest.map_or(f32::INFINITY, |distance| distance as f32),
        masked: if structure.forces.is_some() { unlabelled as u32 } else { 0 },
        weight: structure.weight.unwrap_or(1.0) as f32,
    }
}

/// Compositions in the order in which they are met.
#[derive(Default)]
struct Compositions {
    list: Vec<Composition>,
    places: HashMap<Composition, u32>,
}

impl Compositions {
    fn place(&mut self, elements: &[Element]) -> u32 {
        self.place_of(Composition::of(elements))
    }

    fn place_of(&mut self, composition: Composition) -> u32 {
        if let Some(&place) = self.places.get(&composition) {
            return place;
        }
        let place = self.list.len() as u32;
        self.list.push(composition.clone());
        self.places.insert(composition, place);
        place
    }
}

fn index_of_unit(folder: &Path, unit: usize) -> PathBuf {
    folder.join(UNITS).join(format!("{unit:06}.arrow"))
}

/// An output that is hashed on its way.
struct Hashed {
    out: Output,
    hasher: blake3::Hasher,
}

impl Hashed {
    fn create(path: &Path) -> Result<Self> {
        Ok(Self { out: Output::create(path)?, hasher: blake3::Hasher::new() })
    }

    fn finish(self) -> Result<String> {
        self.out.finish()?;
        Ok(self.hasher.finalize().to_hex().to_string())
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Joins what units have made, behind what is in the store, and writes the header. Until then the old header and all that it
/// names are as they were.
fn complete(folder: &Path, old: Option<Header>, made: Vec<Made>, options: &PackOptions) -> Result<Header> {
    let cutoffs = options.cutoffs.len();
    let first = old.as_ref().map_or(0, |old| old.units.len());
    let named = |name: &str, ending: &str| format!("{name}-{:06}.{ending}", first + made.len());
    let [index, compositions] = [named("index", "arrow"), named("compositions", "json")];
    let path = folder.join(&index);
    let mut units = Vec::new();
    let mut parts = Vec::new();
    let mut with_columns = old.as_ref().map_or_else(BTreeMap::new, |old| old.statistics.with_columns.clone());
    if let Some(old) = &old {
        let part = Index::open(&folder.join(&old.index.name), old.graphs, cutoffs)?;
        parts.push((part, read_compositions(&folder.join(&old.compositions.name))?));
        units.clone_from(&old.units);
    }
    for (place, Made { unit, compositions, with_columns: own }) in made.into_iter().enumerate() {
        let graphs = unit.shards.iter().map(|shard| shard.graphs).sum();
        parts.push((Index::open(&index_of_unit(folder, first + place), graphs, cutoffs)?, compositions));
        units.push(unit);
        own.into_iter().for_each(|(name, count)| *with_columns.entry(name).or_default() += count);
    }
    let rare = parts.iter().map(|(part, _)| part.rare()).fold(Rare::default(), Rare::or);
    let mut joining = Joining {
        compositions: Compositions::default(),
        statistics: Statistics::default(),
        fingerprint: blake3::Hasher::new(),
        writer: IndexWriter::new(Hashed::create(&path)?, cutoffs, rare).map_err(arrow(&path))?,
        path: &path,
    };
    for (part, compositions) in &parts {
        joining.add(part, compositions)?;
    }
    let Joining { compositions: all, statistics, fingerprint, writer, .. } = joining;
    let index = Part { name: index, hash: writer.finish().map_err(arrow(&path))?.finish()? };
    let path = folder.join(&compositions);
    let mut out = Hashed::create(&path)?;
    serde_json::to_writer(&mut out, &all.list).map_err(|error| Error::io(&path, "write")(error.into()))?;
    let compositions = Part { name: compositions, hash: out.finish()? };
    let fingerprint = fingerprint.finalize().to_hex().to_string();
    let statistics = Statistics { with_columns, ..statistics };
    let (cutoffs, group_key) = (options.cutoffs.clone(), options.group_key.clone());
    let header = Header::new(fingerprint, cutoffs, group_key, statistics, units, [index, compositions]);
    header.write(folder)?;
    for part in old.iter().flat_map(|old| [&old.index, &old.compositions]) {
        if part.name != header.index.name && part.name != header.compositions.name {
            let path = folder.join(&part.name);
            fs::remove_file(&path).map_err(Error::io(&path, "remove"))?;
        }
    }
    Ok(header)
}

/// The index of a store that is being written from those of its parts.
struct Joining<'a> {
    compositions: Compositions,
    statistics: Statistics,
    fingerprint: blake3::Hasher,
    writer: IndexWriter<Hashed>,
    path: &'a Path,
}

impl Joining<'_> {
    fn add(&mut self, part: &Index, compositions: &[Composition]) -> Result<()> {
        let places: Vec<u32> =
            compositions.iter().map(|composition| self.compositions.place_of(composition.clone())).collect();
        for graph in 0..part.len() {
            let mut entry = part.entry(graph);
            let place = places.get(entry.composition as usize).copied();
            entry.composition = place.ok_or_else(|| Error::Internal("a composition is missing".into()))?;
            self.fingerprint.update(&entry.hash.to_le_bytes());
            self.statistics.add(&entry, &self.compositions.list[entry.composition as usize].0);
            self.writer.push(&entry).map_err(arrow(self.path))?;
        }
        Ok(())
    }
}

/// An error of Arrow in writing a file.
fn arrow(path: &Path) -> impl FnOnce(ArrowError) -> Error + use<> {
    let path = path.to_owned();
    move |error| match error {
        ArrowError::IoError(_, source) => Error::io(path, "write")(source),
        other => Error::Internal(format!("{}: {other}", path.display())),
    }
}
