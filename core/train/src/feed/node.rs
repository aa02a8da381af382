//! Stores that are copied into the memory of each machine once, from where all ranks of the machine read.

use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use isograd_comm::Communicator;
use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Result, agree};

/// Files here lie in memory.
const MEMORY: &str = "/dev/shm";

/// What ranks tell each other of where they run.
#[derive(Serialize, Deserialize)]
struct Machine {
    /// The same of all ranks that see the same files in memory.
    memory: String,
}

/// Copies the shards of all stores into the memory of each machine, by the first of its ranks, and lets all read from there.
/// The files have no name any more then: their memory is freed when the last of the processes ends. Returns how many bytes
/// a machine holds.
///
/// # Errors
/// [`Error::Config`] where there is no such memory or too little of it, [`Error::Data`] where a shard cannot be read.
pub(super) fn copy_to_nodes<B: Backend>(comm: &dyn Communicator<B>, dataset: &Dataset) -> Result<u64> {
    let rank = comm.rank();
    let machines = agree::all(comm, &Machine { memory: memory()? })?;
    let first = machines.iter().position(|other| other.memory == machines[rank].memory).unwrap_or(rank);
    let stores = dataset.stores();
    let folder =
        if first == rank { Some(tempfile::Builder::new().prefix("isograd-").tempdir_in(MEMORY)) } else { None };
    let folder = folder.transpose().map_err(|error| no_memory(format!("cannot be written to: {error}")))?;
    let own: Option<PathBuf> = folder.as_ref().map(|folder| folder.path().to_owned());
    let folders = agree::all(comm, &own)?;
    let place = |number: usize| Some(folders[first].as_ref()?.join(number.to_string()));
    let needed: u64 = stores.iter().map(|store| store.shard_bytes()).sum();
    if first == rank {
        for (number, store) in stores.iter().enumerate() {
            let Some(place) = place(number) else { continue };
            store.copy_shards(&place).map_err(|error| match error {
                isograd_data::Error::Io { path, source, .. } if path.starts_with(&place) => no_memory(format!(
                    "has no room for {:.1} GB of samples: {source}; let ranks share them, with data.resident = \"ranks\"",
                    needed as f64 / 1e9
                )),
                other => other.into(),
            })?;
        }
    }
    comm.barrier()?;
    for (number, store) in stores.iter().enumerate() {
        if let Some(place) = place(number) {
            store.map_copies(&place)?;
        }
    }
    // All have it mapped before its name goes.
    comm.barrier()?;
    Ok(needed)
}

/// What tells machines, and containers with files in memory of their own, from each other.
fn memory() -> Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(format!("{} {}", boot.trim(), device(Path::new(MEMORY))?))
}

#[cfg(unix)]
fn device(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(folder.metadata().map_err(|error| no_memory(error.to_string()))?.dev())
}

#[cfg(not(unix))]
fn device(_folder: &Path) -> Result<u64> {
    Err(no_memory("is not there on this system".into()))
}

fn no_memory(message: String) -> Error {
    Error::Config { place: "data.resident".into(), message: format!("is \"node\", but {MEMORY} {message}") }
}
