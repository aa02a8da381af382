//! The shards of a store in the memory of a machine instead of on its disk, and pieces of them that are asked for in advance.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use memmap2::Advice;
use rayon::prelude::*;

use super::shard::Mapped;
use super::{PIECE, ShardFile, Store};
use crate::{Error, Result};

impl Store {
    /// Bytes of all shards.
    pub fn shard_bytes(&self) -> u64 {
        self.header.units.iter().flat_map(|unit| &unit.shards).map(|shard| shard.bytes).sum()
    }

    /// Copies all shards into a folder, which lies in memory or on a faster disk.
    ///
    /// # Errors
    /// [`Error::Io`] where a shard cannot be read, or there is no room.
    pub fn copy_shards(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        self.shards.par_iter().try_for_each(|ShardFile { path, .. }| {
            let copy = folder.join(path.file_name().unwrap_or_default());
            let mut source = std::fs::File::open(path).map_err(Error::io(path, "read"))?;
            let mut target = std::fs::File::create(&copy).map_err(Error::io(&copy, "create"))?;
            std::io::copy(&mut source, &mut target).map_err(Error::io(&copy, "write"))?;
            Ok(())
        })
    }

    /// Reads graphs from copies of the shards from now on. The copies may be removed then: their memory is freed once no
    /// process has them mapped.
    ///
    /// # Errors
    /// Where a copy is not there or damaged.
    pub fn map_copies(&self, folder: &Path) -> Result<()> {
        for ShardFile { path, mapped, .. } in &self.shards {
            let copy = Mapped::open(&folder.join(path.file_name().unwrap_or_default()), Advice::Random)?;
            *mapped.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(copy));
        }
        Ok(())
    }

    /// Lets the system read what some graphs lie in, in one go.
    ///
    /// # Errors
    /// Where a shard cannot be opened.
    pub fn read_ahead(&self, graphs: Range<usize>) -> Result<()> {
        let mut next = graphs.start;
        while next < graphs.end.min(self.len()) {
            let place = self.shards.partition_point(|shard| shard.first <= next);
            let shard = &self.shards[place - 1];
            let end = self.shards.get(place).map_or(self.len(), |shard| shard.first).min(graphs.end);
            let pieces = (next - shard.first) / PIECE..(end - shard.first).div_ceil(PIECE);
            shard.mapped()?.read_ahead(pieces);
            next = end;
        }
        Ok(())
    }
}
