//! The stored samples that a rank holds in memory for the ranks of its group, as bytes.

use std::ops::Range;

use rayon::prelude::*;

use crate::{Dataset, Result};

/// Samples that are read in one go.
const BLOCK: usize = 1 << 12;

/// Blocks between two words of progress.
const ROUND: usize = 16;

/// Samples that are read into memory: by this rank, or by the first of its machine for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Samples that are there.
    pub samples: usize,
    /// Samples that will be.
    pub of: usize,
    /// Bytes of those that are there.
    pub bytes: u64,
}

/// What one rank holds. A group of ranks holds each stored sample once: each rank a run of about as many atoms.
pub(crate) struct Held {
    /// The ranks of the group.
    group: Range<usize>,
    /// The first sample of each, and the end.
    bounds: Vec<usize>,
    /// The samples of this rank.
    own: Range<usize>,
    blocks: Vec<Block>,
}

/// Samples one after the other.
struct Block {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Held {
    /// Reads what a rank holds, in groups of `width` ranks.
    ///
    /// # Errors
    /// Where a sample cannot be read.
    pub(super) fn read(
        dataset: &Dataset,
        rank: usize,
        width: usize,
        progress: &mut impl FnMut(Holding),
    ) -> Result<Self> {
        let first = rank / width * width;
        let bounds = bounds(dataset, width);
        let own = bounds[rank - first]..bounds[rank - first + 1];
        let starts: Vec<usize> = own.clone().step_by(BLOCK).collect();
        let mut blocks = Vec::with_capacity(starts.len());
        let mut holding = Holding { samples: 0, of: own.len(), bytes: 0 };
        for round in starts.chunks(ROUND) {
            let read = |&start: &usize| Block::read(dataset, start..(start + BLOCK).min(own.end));
            let read: Vec<Block> = round.par_iter().map(read).collect::<Result<_>>()?;
            holding.bytes += read.iter().map(|block| block.bytes.len() as u64).sum::<u64>();
            holding.samples += read.iter().map(|block| block.ends.len()).sum::<usize>();
            blocks.extend(read);
            progress(holding);
        }
        Ok(Self { group: first..first + width, bounds, own, blocks })
    }

    /// The ranks that hold samples for each other.
    pub(super) fn group(&self) -> Range<usize> {
        self.group.clone()
    }

    /// The rank of the group that holds a stored sample.
    pub(super) fn holder(&self, index: usize) -> usize {
        self.group.start + self.bounds.partition_point(|bound| *bound <= index) - 1
    }

    /// A stored sample, if this rank holds it.
    pub(super) fn bytes(&self, index: usize) -> Option<&[u8]> {
        let place = self.own.contains(&index).then(|| index - self.own.start)?;
        let Block { bytes, ends } = &self.blocks[place / BLOCK];
        let place = place % BLOCK;
        let start = if place == 0 { 0 } else { ends[place - 1] };
        bytes.get(start..ends[place])
    }
}

impl Block {
    fn read(dataset: &Dataset, samples: Range<usize>) -> Result<Self> {
        dataset.read_ahead(samples.clone())?;
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(samples.len()));
        for index in samples {
            if dataset.is_stored(index) {
                bytes.extend(dataset.bytes(index)?);
            }
            ends.push(bytes.len());
        }
        bytes.shrink_to_fit();
        Ok(Self { bytes, ends })
    }
}

/// Cuts a data set into runs of about as many atoms of stored samples.
fn bounds(dataset: &Dataset, width: usize) -> Vec<usize> {
    let atoms = |index: usize| if dataset.is_stored(index) { dataset.sizes[index].atoms } else { 0 };
    let total: usize = (0..dataset.len()).map(atoms).sum();
    let mut bounds = vec![0];
    let mut sum = 0;
    for index in 0..dataset.len() {
        while bounds.len() < width && sum * width >= bounds.len() * total {
            bounds.push(index);
        }
        sum += atoms(index);
    }
    bounds.resize(width, dataset.len());
    bounds.push(dataset.len());
    bounds
}
