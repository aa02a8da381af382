//! What a store knows of each graph without a look at the graph: an Arrow file beside the shards, mapped into memory. Columns that
//! few data have are left out where no graph has any: of tens of millions of graphs, each byte counts.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch};
use arrow_buffer::ScalarBuffer;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use memmap2::Advice;

use super::shard::Mapped;
use crate::{Error, Result};

/// Rows in each piece of the file but the last.
const PIECE: usize = 1 << 16;

/// What is known of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Number of atoms.
    pub atoms: u32,
    /// Number of edges within each cutoff of the store.
    pub edges: Vec<u32>,
    /// Position of its composition among the [compositions](super::Store::compositions).
    pub composition: u32,
    /// Hash of the group that it stays with in a split; 0 where it has none.
    pub group: u32,
    /// Which labels it has.
    pub labels: Labels,
    /// Why it is not trusted, whatever limits are set: the number of a [`Fault`](crate::audit::Fault), or 0.
    pub fault: u8,
    /// Hash of all that is stored of it but its group and its place.
    pub hash: u64,
    /// Total energy in eV; NaN where there is none.
    pub energy: f64,
    /// Sum of the squares of all force components that are labels, in eV^2/angstrom^2.
    pub force_squares: f32,
    /// Largest force component, in eV/angstrom.
    pub largest_force: f32,
    /// Sum of the squares of all stress components, in eV^2/angstrom^6.
    pub stress_squares: f32,
    /// Shortest distance between two atoms, in angstrom; infinite where none is below 4.
    pub shortest: f32,
    /// Atoms whose forces are no labels.
    pub masked: u32,
    /// What it counts in the loss.
    pub weight: f32,
}

impl Entry {
    /// How many numbers there are in the forces that are labels, if it has forces.
    pub fn force_components(&self) -> usize {
        3 * self.atoms.saturating_sub(self.masked) as usize
    }
}

/// Which labels a graph has, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Labels(pub u8);

impl Labels {
    /// A total energy.
    pub const ENERGY: Self = Self(1);
    /// Forces.
    pub const FORCES: Self = Self(2);
    /// A stress.
    pub const STRESS: Self = Self(4);
    /// Other columns.
    pub const COLUMNS: Self = Self(8);
    /// No label: it repeats in space.
    pub const PERIODIC: Self = Self(16);

    /// These and others.
    #[must_use]
    pub fn and(self, others: Self, condition: bool) -> Self {
        if condition { Self(self.0 | others.0) } else { self }
    }

    /// Whether all of `others` are among them.
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// Labels are the lower bits of a byte, the fault is the upper ones: of tens of millions of graphs, each byte counts.
const LABEL_BITS: u32 = 5;

/// Which of the columns that few data have there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rare {
    /// Stresses.
    stress: bool,
    /// Forces that are no labels.
    masked: bool,
    /// Weights that are not one.
    weight: bool,
}

impl Rare {
    /// All of them, where it is not known yet.
    pub(super) const ALL: Self = Self { stress: true, masked: true, weight: true };

    /// Those of both.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            stress: self.stress || other.stress,
            masked: self.masked || other.masked,
            weight: self.weight || other.weight,
        }
    }

    /// Names and types, in order.
    fn fields(self) -> impl Iterator<Item = (&'static str, DataType)> {
        let all = [
            (self.stress, "stress_squares", DataType::Float32),
            (self.masked, "masked", DataType::UInt32),
            (self.weight, "weight", DataType::Float32),
        ];
        all.into_iter().filter(|(is_there, ..)| *is_there).map(|(_, name, data)| (name, data))
    }
}

fn schema(cutoffs: usize, rare: Rare) -> Schema {
    let fixed = [
        ("atoms", DataType::UInt32),
        ("composition", DataType::UInt32),
        ("group", DataType::UInt32),
        ("labels", DataType::UInt8),
        ("hash", DataType::UInt64),
        ("energy", DataType::Float64),
        ("force_squares", DataType::Float32),
        ("largest_force", DataType::Float32),
        ("shortest", DataType::Float32),
    ];
    let all = fixed.into_iter().chain(rare.fields());
    let mut fields: Vec<Field> = all.map(|(name, data)| Field::new(name, data, false)).collect();
    fields.extend((0..cutoffs).map(|cutoff| Field::new(format!("edges_{cutoff}"), DataType::UInt32, false)));
    Schema::new(fields)
}

/// Columns that are being filled, or looked at; rare ones are empty where they are not there.
#[derive(Default)]
struct Columns<U8, U32, U64, F32, F64> {
    atoms: U32,
    composition: U32,
    group: U32,
    labels: U8,
    hash: U64,
    energy: F64,
    force_squares: F32,
    largest_force: F32,
    stress_squares: F32,
    shortest: F32,
    masked: U32,
    weight: F32,
    edges: Vec<U32>,
}

type Filled = Columns<Vec<u8>, Vec<u32>, Vec<u64>, Vec<f32>, Vec<f64>>;
type Looked = Columns<ScalarBuffer<u8>, ScalarBuffer<u32>, ScalarBuffer<u64>, ScalarBuffer<f32>, ScalarBuffer<f64>>;

/// Writes entries one after the other.
pub(super) struct IndexWriter<W: Write> {
    out: FileWriter<W>,
    schema: Arc<Schema>,
    rare: Rare,
    filled: Filled,
}

impl<W: Write> IndexWriter<W> {
    /// For a store with so many cutoffs, and these rare columns.
    pub(super) fn new(out: W, cutoffs: usize, rare: Rare) -> Result<Self, ArrowError> {
        let schema = Arc::new(schema(cutoffs, rare));
        let filled = Filled { edges: vec![Vec::new(); cutoffs], ..Filled::default() };
        Ok(Self { out: FileWriter::try_new(out, &schema)?, schema, rare, filled })
    }

    /// One more; its edges are of as many cutoffs as the store has.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), ArrowError> {
        let own = &mut self.filled;
        own.atoms.push(entry.atoms);
        own.composition.push(entry.composition);
        own.group.push(entry.group);
        own.labels.push(entry.labels.0 | entry.fault << LABEL_BITS);
        own.hash.push(entry.hash);
        own.energy.push(entry.energy);
        own.force_squares.push(entry.force_squares);
        own.largest_force.push(entry.largest_force);
        own.stress_squares.push(entry.stress_squares);
        own.shortest.push(entry.shortest);
        own.masked.push(entry.masked);
        own.weight.push(entry.weight);
        own.edges.iter_mut().zip(&entry.edges).for_each(|(column, edges)| column.push(*edges));
        if own.atoms.len() == PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ArrowError> {
        let empty = Filled { edges: vec![Vec::new(); self.filled.edges.len()], ..Filled::default() };
        let own = std::mem::replace(&mut self.filled, empty);
        if own.atoms.is_empty() {
            return Ok(());
        }
        fn column<T: ArrowPrimitiveType>(values: Vec<T::Native>) -> ArrayRef {
            Arc::new(PrimitiveArray::<T>::new(values.into(), None))
        }
        let mut columns = vec![
            column::<UInt32Type>(own.atoms),
            column::<UInt32Type>(own.composition),
            column::<UInt32Type>(own.group),
            column::<UInt8Type>(own.labels),
            column::<UInt64Type>(own.hash),
            column::<Float64Type>(own.energy),
            column::<Float32Type>(own.force_squares),
            column::<Float32Type>(own.largest_force),
            column::<Float32Type>(own.shortest),
        ];
        let rare = [
            (self.rare.stress, column::<Float32Type>(own.stress_squares)),
            (self.rare.masked, column::<UInt32Type>(own.masked)),
            (self.rare.weight, column::<Float32Type>(own.weight)),
        ];
        columns.extend(rare.into_iter().filter_map(|(is_there, column)| is_there.then_some(column)));
        columns.extend(own.edges.into_iter().map(column::<UInt32Type>));
        self.out.write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<W, ArrowError> {
        self.flush()?;
        self.out.into_inner()
    }
}

/// The index of a store.
pub struct Index {
    pieces: Vec<Looked>,
    len: usize,
}

impl Index {
    /// Maps the index of `len` graphs with so many cutoffs.
    ///
    /// # Errors
    /// [`Error::Path`] where it is damaged, or of another length.
    pub(super) fn open(path: &Path, len: usize, cutoffs: usize) -> Result<Self> {
        let damaged = |message: &str| Error::Path { path: path.to_owned(), message: format!("is damaged: {message}") };
        let mapped = Mapped::open(path, Advice::Normal)?;
        let mut pieces = Vec::with_capacity(mapped.pieces());
        let mut rows = 0;
        for place in 0..mapped.pieces() {
            let piece = mapped.piece(place)?;
            let has = |name: &str| piece.column_by_name(name).is_some();
            let rare = Rare { stress: has("stress_squares"), masked: has("masked"), weight: has("weight") };
            if piece.schema_ref().fields() != schema(cutoffs, rare).fields() {
                return Err(damaged("its columns are not those of an index"));
            }
            if rows != place * PIECE {
                return Err(damaged("a piece of its table has another length"));
            }
            rows += piece.num_rows();
            pieces.push(looked(&piece, cutoffs));
        }
        if rows != len {
            return Err(damaged(&format!("there are {rows} rows, expected {len}")));
        }
        Ok(Self { pieces, len })
    }

    /// Number of graphs.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no graphs.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is known of a graph.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn entry(&self, graph: usize) -> Entry {
        let (own, row) = self.place(graph);
        Entry {
            atoms: own.atoms[row],
            edges: own.edges.iter().map(|column| column[row]).collect(),
            composition: own.composition[row],
            group: own.group[row],
            labels: labels(own.labels[row]),
            fault: own.labels[row] >> LABEL_BITS,
            hash: own.hash[row],
            energy: own.energy[row],
            force_squares: own.force_squares[row],
            largest_force: own.largest_force[row],
            stress_squares: own.stress_squares.get(row).copied().unwrap_or(0.0),
            shortest: own.shortest[row],
            masked: own.masked.get(row).copied().unwrap_or(0),
            weight: own.weight.get(row).copied().unwrap_or(1.0),
        }
    }

    /// What a graph counts in the loss.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn weight(&self, graph: usize) -> f32 {
        let (own, row) = self.place(graph);
        own.weight.get(row).copied().unwrap_or(1.0)
    }

    /// Which rare columns its graphs need.
    pub(super) fn rare(&self) -> Rare {
        let stress = |own: &Looked| own.labels.iter().any(|&byte| labels(byte).has(Labels::STRESS));
        Rare {
            stress: self.pieces.iter().any(stress),
            masked: self.pieces.iter().any(|own| own.masked.iter().any(|&count| count > 0)),
            weight: self.pieces.iter().any(|own| own.weight.iter().any(|&weight| weight != 1.0)),
        }
    }

    /// Atoms of a graph.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn atoms(&self, graph: usize) -> u32 {
        let (own, row) = self.place(graph);
        own.atoms[row]
    }

    /// Edges of a graph within one of the cutoffs, by its position.
    ///
    /// # Panics
    /// If there is no such graph, or no such cutoff.
    pub fn edges(&self, graph: usize, cutoff: usize) -> u32 {
        let (own, row) = self.place(graph);
        own.edges[cutoff][row]
    }

    /// The number of the composition of a graph.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn composition(&self, graph: usize) -> u32 {
        let (own, row) = self.place(graph);
        own.composition[row]
    }

    /// The hash of the group of a graph; 0 where it has none.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn group(&self, graph: usize) -> u32 {
        let (own, row) = self.place(graph);
        own.group[row]
    }

    /// The total energy of a graph in eV, if it has one.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn energy(&self, graph: usize) -> Option<f64> {
        let (own, row) = self.place(graph);
        labels(own.labels[row]).has(Labels::ENERGY).then_some(own.energy[row])
    }

    /// The hash of what is stored of a graph.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn hash(&self, graph: usize) -> u64 {
        let (own, row) = self.place(graph);
        own.hash[row]
    }

    fn place(&self, graph: usize) -> (&Looked, usize) {
        assert!(graph < self.len, "Index: graph {graph} of {}", self.len);
        (&self.pieces[graph / PIECE], graph % PIECE)
    }
}

/// Those in the byte of an entry.
fn labels(byte: u8) -> Labels {
    Labels(byte & ((1 << LABEL_BITS) - 1))
}

/// The columns of a piece whose types are those of an index.
fn looked(piece: &RecordBatch, cutoffs: usize) -> Looked {
    fn column<T: ArrowPrimitiveType>(piece: &RecordBatch, place: usize) -> ScalarBuffer<T::Native> {
        piece.column(place).as_primitive::<T>().values().clone()
    }
    fn rare<T: ArrowPrimitiveType>(piece: &RecordBatch, name: &str) -> ScalarBuffer<T::Native> {
        piece
            .column_by_name(name)
            .map_or_else(|| Vec::new().into(), |column| column.as_primitive::<T>().values().clone())
    }
    Looked {
        atoms: column::<UInt32Type>(piece, 0),
        composition: column::<UInt32Type>(piece, 1),
        group: column::<UInt32Type>(piece, 2),
        labels: column::<UInt8Type>(piece, 3),
        hash: column::<UInt64Type>(piece, 4),
        energy: column::<Float64Type>(piece, 5),
        force_squares: column::<Float32Type>(piece, 6),
        largest_force: column::<Float32Type>(piece, 7),
        shortest: column::<Float32Type>(piece, 8),
        stress_squares: rare::<Float32Type>(piece, "stress_squares"),
        masked: rare::<UInt32Type>(piece, "masked"),
        weight: rare::<Float32Type>(piece, "weight"),
        edges: (piece.num_columns() - cutoffs..piece.num_columns())
            .map(|place| column::<UInt32Type>(piece, place))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn entry(k: u32) -> Entry {
        Entry {
            atoms: k,
            edges: vec![2 * k, 3 * k],
            composition: k % 7,
            group: k % 5,
            labels: Labels::ENERGY.and(Labels::STRESS, k.is_multiple_of(2)),
            fault: (k % 3) as u8,
            hash: u64::from(k) << 32,
            energy: -0.1 * f64::from(k),
            force_squares: 0.5 * k as f32,
            largest_force: 0.25 * k as f32,
            stress_squares: if k.is_multiple_of(2) { 0.125 * k as f32 } else { 0.0 },
            shortest: if k == 0 { f32::INFINITY } else { 1.0 },
            masked: k / 2,
            weight: 0.5 * (k % 4) as f32,
        }
    }

    #[test]
    fn entries_are_found_again_across_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.arrow");
        for count in [0, 1, PIECE as u32, PIECE as u32 + 3] {
            let mut writer = IndexWriter::new(File::create(&path).unwrap(), 2, Rare::ALL).unwrap();
            (0..count).for_each(|k| writer.push(&entry(k)).unwrap());
            writer.finish().unwrap();
            let index = Index::open(&path, count as usize, 2).unwrap();
            assert_eq!(index.len(), count as usize);
            for k in (0..count).step_by(1021).chain(count.checked_sub(1)) {
                assert_eq!(index.entry(k as usize), entry(k));
                let short = (index.atoms(k as usize), index.edges(k as usize, 1), index.hash(k as usize));
                assert_eq!(short, (k, 3 * k, u64::from(k) << 32));
            }
            let message = |len, cutoffs| Index::open(&path, len, cutoffs).err().unwrap().to_string();
            assert!(
                message(count as usize + 1, 2).ends_with(&format!("there are {count} rows, expected {}", count + 1))
            );
            if count > 0 {
                assert!(message(count as usize, 3).ends_with("its columns are not those of an index"));
            }
        }
    }

    #[test]
    fn columns_that_no_graph_needs_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let plain = |k| Entry { labels: Labels::ENERGY, stress_squares: 0.0, masked: 0, weight: 1.0, ..entry(k) };
        let write = |name: &str, rare: Rare, entry: &dyn Fn(u32) -> Entry| {
            let path = folder.path().join(name);
            let mut writer = IndexWriter::new(File::create(&path).unwrap(), 2, rare).unwrap();
            (0..1000).for_each(|k| writer.push(&entry(k)).unwrap());
            writer.finish().unwrap();
            (Index::open(&path, 1000, 2).unwrap(), path.metadata().unwrap().len())
        };
        let (all, bytes) = write("all", Rare::ALL, &plain);
        assert_eq!(all.rare(), Rare::default());
        let (few, fewer) = write("few", all.rare(), &plain);
        assert!(fewer + 12_000 <= bytes, "{fewer} and {bytes} bytes");
        assert!((0..1000).all(|k| few.entry(k) == plain(k as u32) && few.weight(k) == 1.0));
        let heavy = |k| Entry { weight: 2.0, ..plain(k) };
        let (one, _) = write("one", Rare { weight: true, ..Rare::default() }, &heavy);
        assert_eq!(one.rare().or(few.rare()), Rare { weight: true, ..Rare::default() });
        assert_eq!(one.entry(7), heavy(7));
    }

    #[test]
    fn labels_are_bits() {
        let both = Labels::ENERGY.and(Labels::FORCES, true).and(Labels::STRESS, false);
        assert!(both.has(Labels::ENERGY) && both.has(Labels::FORCES) && !both.has(Labels::STRESS));
        assert!(both.has(both) && !Labels::ENERGY.has(both) && both.has(Labels::default()));
    }
}
