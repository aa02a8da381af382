//! A packed store of many small graphs: what it takes to pack it, to open it, to plan an epoch of it, and to read graphs of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use isograd_data::audit::Limits;
use isograd_data::store::{PackOptions, Packing, Store, Structures, pack};
use isograd_data::{Budget, Error, Result, Sizes, Stored, epoch_order, share};
use isograd_ops::device::CpuBackend;
use isograd_ops::memory::{MeasuredBackend, reset_peak};
use isograd_structure::{Element, Geometry, Structure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Graphs that are made from one file.
const GRAPHS_OF_FILE: usize = 1 << 20;

/// Length within which edges are counted, in angstrom.
const CUTOFF: f64 = 5.0;

/// What is packed, opened and planned.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The folder of the store; a store that is there is used as it is.
    pub folder: PathBuf,
    /// Graphs.
    pub graphs: usize,
    /// Most atoms of a graph; each has half of them or more.
    pub atoms: usize,
    /// Graphs of a batch.
    pub batch: usize,
    /// Ranks that share each batch.
    pub ranks: usize,
    /// Graphs that are read, in the order of an epoch.
    pub reads: usize,
}

/// What was measured; the keys are a contract with scripts. Bytes are those held beside what is mapped, at most at a time.
#[derive(Debug, Clone, Serialize)]
pub struct StoreReport {
    /// Graphs in the store.
    pub graphs: usize,
    /// Atoms of all graphs.
    pub atoms: usize,
    /// Bytes of the shards.
    pub shard_bytes: u64,
    /// Bytes of the index, which processes share.
    pub index_bytes: u64,
    /// Packing; `None` where the store was there.
    pub pack_seconds: Option<f64>,
    /// Opening the store.
    pub open_seconds: f64,
    /// Bytes of that.
    pub open_bytes: Option<u64>,
    /// Which graphs are trusted, and what all of them have together.
    pub survey_seconds: f64,
    /// The order of an epoch.
    pub order_seconds: f64,
    /// Its batches.
    pub pack_epoch_seconds: f64,
    /// What each rank has of each batch.
    pub share_seconds: f64,
    /// Bytes of all this.
    pub plan_bytes: Option<u64>,
    /// Graphs read in a second, on one thread, in the order of the epoch.
    pub reads_per_second: f64,
}

/// Packs a store of random graphs where there is none, and measures.
///
/// # Errors
/// Where the folder cannot be written or is no store.
pub fn bench_store(config: &StoreConfig, progress: &(dyn Fn(Packing) + Sync)) -> Result<StoreReport> {
    let pack_seconds = if Store::is_at(&config.folder) { None } else { Some(pack_random(config, progress)?) };
    let peak = || CpuBackend::peak_bytes(&Default::default());
    let timed = |start: Instant| start.elapsed().as_secs_f64();

    reset_peak();
    let start = Instant::now();
    let store = Arc::new(Store::open(&config.folder)?);
    let (open_seconds, open_bytes) = (timed(start), peak());
    let header = store.header().clone();
    let size = |path: PathBuf| path.metadata().map_or(0, |metadata| metadata.len());

    reset_peak();
    let start = Instant::now();
    let (stored, _) = Stored::survey(store.clone(), &Limits::default(), CUTOFF)?;
    let graphs = isograd_data::Collection::Stored(stored);
    let sizes: Vec<Sizes> = (0..graphs.len()).map(|graph| graphs.sizes(graph)).collect();
    let survey_seconds = timed(start);
    let start = Instant::now();
    let order = epoch_order(0, 0, graphs.len());
    let order_seconds = timed(start);
    let start = Instant::now();
    let budget = Budget { graphs: config.batch, atoms: usize::MAX, edges: usize::MAX };
    let batches = isograd_data::pack(order, &sizes, budget);
    let pack_epoch_seconds = timed(start);
    let start = Instant::now();
    let shared: usize = batches.iter().map(|batch| share(batch, &sizes, config.ranks)[0].len()).sum();
    let share_seconds = timed(start);
    let plan_bytes = peak();
    if shared > graphs.len() {
        return Err(Error::Internal("a rank has more graphs than there are".into()));
    }

    let start = Instant::now();
    let reads = config.reads.min(graphs.len());
    for &graph in batches.iter().flatten().take(reads) {
        graphs.structure(graph)?;
    }
    let reads_per_second = reads as f64 / timed(start);
    Ok(StoreReport {
        graphs: header.graphs,
        atoms: header.statistics.atoms,
        shard_bytes: store.shard_bytes(),
        index_bytes: size(store.index_file()),
        pack_seconds,
        open_seconds,
        open_bytes,
        survey_seconds,
        order_seconds,
        pack_epoch_seconds,
        share_seconds,
        plan_bytes,
        reads_per_second,
    })
}

/// Packs random graphs, which stand for those of a file each million; seconds.
fn pack_random(config: &StoreConfig, progress: &(dyn Fn(Packing) + Sync)) -> Result<f64> {
    let inputs = config.folder.with_extension("inputs");
    std::fs::create_dir_all(&inputs).map_err(Error::io(&inputs, "write"))?;
    let mut files = Vec::new();
    for first in (0..config.graphs).step_by(GRAPHS_OF_FILE) {
        let path = inputs.join(format!("{:04}", first / GRAPHS_OF_FILE));
        let count = GRAPHS_OF_FILE.min(config.graphs - first);
        std::fs::write(&path, count.to_string()).map_err(Error::io(&path, "write"))?;
        files.push(path);
    }
    let atoms = config.atoms;
    let read = |path: &Path| -> Result<Structures> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
        let wrong = || Error::Path { path: path.to_owned(), message: "is no number of graphs".into() };
        let count: usize = text.parse().map_err(|_| wrong())?;
        let seed = path.file_name().and_then(|name| name.to_str()?.parse().ok()).ok_or_else(wrong)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(Box::new((0..count).map(move |_| Ok(random(atoms, &mut rng)))))
    };
    let start = Instant::now();
    let options = PackOptions { cutoffs: vec![CUTOFF], unit_bytes: 1, ..PackOptions::default() };
    pack(&read, &files, &config.folder, &options, progress)?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&inputs).map_err(Error::io(&inputs, "remove"))?;
    Ok(seconds)
}

/// Atoms of four elements on a crooked line, with an energy and forces.
fn random(most: usize, rng: &mut ChaCha8Rng) -> Structure {
    let atoms = rng.random_range(most.div_ceil(2)..=most);
    let mut vector = |size: f64| -> [f64; 3] { std::array::from_fn(|_| size * (rng.random::<f64>() - 0.5)) };
    let mut place = [0.0; 3];
    let positions = (0..atoms).map(|_| {
        let step = vector(0.4);
        place = [place[0] + 1.2 + step[0], place[1] + step[1], place[2] + step[2]];
        place
    });
    let positions: Vec<[f64; 3]> = positions.collect();
    let forces = (0..atoms).map(|_| vector(2.0)).collect();
    let elements = (0..atoms).filter_map(|_| Element::from_number([1, 6, 7, 8][rng.random_range(0..4)])).collect();
    Structure {
        energy: Some(-10.0 * atoms as f64 + rng.random::<f64>()),
        forces: Some(forces),
        elements,
        geometry: Geometry { positions, ..Geometry::default() },
        ..Structure::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_store_is_packed_opened_and_planned() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            folder: folder.path().join("store"),
            graphs: 3000,
            atoms: 4,
            batch: 16,
            ranks: 3,
            reads: 100,
        };
        let report = bench_store(&config, &|_| {}).unwrap();
        assert!(report.pack_seconds.is_some() && report.index_bytes > 3000 * 40 && report.reads_per_second > 0.0);
        assert!(report.graphs == 3000 && (6000..=12000).contains(&report.atoms));
        assert_eq!(bench_store(&config, &|_| {}).unwrap().pack_seconds, None);
    }
}
