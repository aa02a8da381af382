//! Snapshots: everything that training needs to go on as if it had never stopped, on any number of ranks.
//!
//! `snapshots/step-N/` holds `rank-r-of-R.safetensors`, what rank r of R owns of weights (`weights.*`), their
//! average (`average.*`) and the optimizer's moments (`first.*`, `second.*`; matrices under Muon have no second);
//! `state.json`, the numbers; and `manifest.json`, the checksums of the files of all ranks, without which it is no snapshot.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use isograd_comm::Communicator;
use isograd_engine::zero::Sharded;
use isograd_ops::kernels::KernelBackend;
use serde::{Deserialize, Serialize};

use super::atomic::{self, PARTIAL, PartialFolder};
use super::pieces::Pieces;
use super::weights::{LazyTensor, save};
use super::{Best, Course};
use crate::{Error, Plateau, Result, agree};

/// The version of the layout of snapshots; raised when an older program could not read a newer one.
const FORMAT: u32 = 4;

/// The numbers in a snapshot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// Layout of the snapshot.
    format: u32,
    /// What decides the course of training.
    pub course: Course,
    /// Steps made.
    pub step: usize,
    /// Epoch, from 0. With the seed this is the whole state of the sampler's generator.
    pub epoch: usize,
    /// Batches of the epoch already trained on, by all ranks together.
    pub batch: usize,
    /// Seconds trained.
    pub seconds: f64,
    /// Seconds of it spent waiting for data.
    pub waited: f64,
    /// Edges trained on.
    pub edges: u64,
    /// What a plateau schedule remembers.
    pub plateau: Plateau,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Validations since then.
    pub stale: usize,
    /// Sum of the losses since the last line of the log.
    pub loss_sum: f64,
    /// How many losses that are.
    pub loss_count: usize,
    /// Mean loss, and edges and atoms per second, of the last line of the log.
    #[serde(default)]
    pub logged: (f64, [f64; 2]),
    /// Steps of the optimizer.
    optimizer_steps: usize,
}

impl State {
    /// The state before the first step.
    pub fn new(course: Course) -> Self {
        Self { course, ..Default::default() }
    }
}

/// `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// R.
    ranks: usize,
    /// By rank.
    files: Vec<Entry>,
}

/// A file of a snapshot.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    blake3: String,
}

impl Entry {
    fn of(folder: &Path, name: String) -> Result<Self> {
        let path = folder.join(&name);
        let file = File::open(&path).map_err(Error::io(&path, "read"))?;
        let bytes = file.metadata().map_err(Error::io(&path, "read"))?.len();
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(Error::io(&path, "read"))?;
        Ok(Self { name, bytes, blake3: hasher.finalize().to_hex().to_string() })
    }
}

/// Writes the snapshot `snapshots/step-N`, all or nothing, and then removes all but the last `keep`. Every rank
/// writes what it owns; all call this together.
///
/// # Errors
/// [`Error::Io`], of this rank or as another's [`Error::Ranks`]; then no rank has made a snapshot.
pub fn save_snapshot<B: KernelBackend>(
    state: &State,
    sharded: &Sharded<B>,
    comm: &dyn Communicator<B>,
    snapshots: &Path,
    keep: usize,
) -> Result<PathBuf> {
    let path = snapshots.join(format!("step-{}", state.step));
    let folder = if comm.rank() == 0 { Some(PartialFolder::create(&path)?) } else { None };
    comm.barrier()?;

    let (ranks, rank) = (comm.size(), comm.rank());
    let temporary = PartialFolder::temporary(&path);
    let name = format!("rank-{rank}-of-{ranks}.safetensors");
    let (optimizer_steps, groups) = sharded.state();
    let fragments = sharded.layout().owned(rank);
    let shapes: Vec<[usize; 1]> = fragments.iter().map(|fragment| [fragment.range.len()]).collect();
    let parameters = sharded.layout().parameters();
    let tensors = groups.iter().flat_map(|(group, values)| {
        let named = fragments.iter().zip(&shapes).zip(values);
        named.filter_map(move |((fragment, shape), values)| {
            let values = values.as_ref()?;
            let name = format!("{group}.{}", parameters[fragment.parameter].path);
            Some(LazyTensor { name, shape, values: Box::new(|| values.clone()) })
        })
    });
    save(&temporary.join(&name), tensors, None, || Ok(()))?;
    let own = json(&Entry::of(&temporary, name)?)?;
    let files = comm.gather_bytes(own)?;

    if let Some(folder) = folder {
        let entry = |bytes: &std::sync::Arc<Vec<u8>>| {
            serde_json::from_slice(bytes).map_err(|error| Error::Internal(error.to_string()))
        };
        let manifest = Manifest { ranks, files: files.iter().map(entry).collect::<Result<_>>()? };
        let state = State { format: FORMAT, optimizer_steps, ..state.clone() };
        atomic::write_file(&temporary.join("state.json"), &json(&state)?)?;
        atomic::write_file(&temporary.join("manifest.json"), &json(&manifest)?)?;
        folder.settle()?;
        prune(snapshots, keep)?;
    }
    comm.barrier()?;
    Ok(path)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| Error::Internal(error.to_string()))
}

/// Reads the latest snapshot into `sharded`, if there is any, and returns its numbers. All ranks call this
/// together; they need not be as many as have written it.
///
/// # Errors
/// [`Error::Run`] if it is damaged or not whole, was made by another version of the format, or is of another course; `changes`
/// says in words what has changed in the settings.
pub fn load_latest<B: KernelBackend>(
    snapshots: &Path,
    sharded: &mut Sharded<B>,
    comm: &dyn Communicator<B>,
    course: &Course,
    changes: &[String],
    device: &B::Device,
) -> Result<Option<State>> {
    // What the first rank sees counts: a network file system may show the others less.
    let seen = list(snapshots)?.pop().map(|(step, _)| step);
    let Some(step) = agree::first(comm, &seen)? else { return Ok(None) };
    let folder = snapshots.join(format!("step-{step}"));
    let state: State = read_json(&folder, "state.json")?;
    if state.format != FORMAT {
        let message = format!("has snapshot format {}, this program knows {FORMAT}", state.format);
        return Err(Error::run(folder.join("state.json"), message));
    }
    if state.course.settings != course.settings {
        let changes = if changes.is_empty() { "config.toml was changed".to_owned() } else { changes.join("; ") };
        let message = format!(
            "was made with other settings: {changes}. Go on with the run's own config.toml, or start a new run with --out"
        );
        return Err(Error::run(&folder, message));
    }
    if state.course.data != course.data {
        return Err(Error::run(
            &folder,
            "was made with other data: what the files of the config hold has changed since then, or how it is split. Restore \
             them, or start a new run with --out",
        ));
    }
    let manifest: Manifest = read_json(&folder, "manifest.json")?;
    verify(&folder, &manifest, comm.rank(), comm.size())?;
    // A rank that has found damage has told the others by now.
    comm.barrier()?;
    let names = manifest.files.into_iter().map(|file| file.name);
    let mut pieces = Pieces::new(&folder, names.collect(), sharded.layout().on(manifest.ranks));
    sharded.restore(state.optimizer_steps, |group, fragments, length| pieces.read(group, fragments, length, device))?;
    Ok(Some(state))
}

/// The numbers of the latest snapshot that can be read, for whoever wants to know how far a run is; `None` where there is none.
pub fn latest_state(snapshots: &Path) -> Option<State> {
    let folders = list(snapshots).ok()?;
    folders.iter().rev().find_map(|(_, folder)| read_json(folder, "state.json").ok())
}

fn read_json<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Result<T> {
    let path = folder.join(name);
    let text = fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::run(folder, format!("lacks {name}; {}", remedy(folder))),
        _ => Error::io(&path, "read")(error),
    })?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::run(&path, format!("cannot be read: {error}; {}", remedy(folder))))
}

/// Checks every R-th file against the manifest, beginning with this rank's.
fn verify(folder: &Path, manifest: &Manifest, rank: usize, ranks: usize) -> Result<()> {
    for expected in manifest.files.iter().skip(rank).step_by(ranks) {
        let path = folder.join(&expected.name);
        if !path.exists() {
            return Err(Error::run(folder, format!("lacks {}; {}", expected.name, remedy(folder))));
        }
        if Entry::of(folder, expected.name.clone())? != *expected {
            return Err(Error::run(&path, format!("is damaged: it is not what was written; {}", remedy(folder))));
        }
    }
    Ok(())
}

fn remedy(folder: &Path) -> String {
    let snapshots = folder.parent().unwrap_or(Path::new("."));
    let before = list(snapshots).ok().and_then(|all| {
        let place = all.iter().position(|(_, path)| path == folder)?;
        all.get(place.checked_sub(1)?).map(|(step, _)| *step)
    });
    match before {
        Some(step) => format!("remove {} to go on from the snapshot before it, step-{step}", folder.display()),
        None => format!("remove {} to start from the beginning; there is no snapshot before it", folder.display()),
    }
}

/// Removes all but the last snapshots, and what an interrupted program has left.
fn prune(snapshots: &Path, keep: usize) -> Result<()> {
    let all = list(snapshots)?;
    let old = all[..all.len().saturating_sub(keep)].iter().map(|(_, path)| path.clone());
    let partial = entries(snapshots)?.into_iter().filter(|path| name(path).starts_with(PARTIAL));
    for path in old.chain(partial) {
        fs::remove_dir_all(&path).map_err(Error::io(&path, "remove"))?;
    }
    Ok(())
}

/// Snapshots, oldest first.
fn list(snapshots: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let step = |path: PathBuf| Some((name(&path).strip_prefix("step-")?.parse().ok()?, path));
    let mut found: Vec<(usize, PathBuf)> = entries(snapshots)?.into_iter().filter_map(step).collect();
    found.sort_unstable();
    Ok(found)
}

fn entries(snapshots: &Path) -> Result<Vec<PathBuf>> {
    if !snapshots.exists() {
        return Ok(Vec::new());
    }
    let entry = |entry: std::io::Result<fs::DirEntry>| Ok(entry.map_err(Error::io(snapshots, "read"))?.path());
    fs::read_dir(snapshots).map_err(Error::io(snapshots, "read"))?.map(entry).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
