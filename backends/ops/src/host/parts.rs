//! Work in lanes, side by side on rayon's threads: rows of their own that are added up in order, and buffers of threads.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::simd;

/// Rows of one lane that are later added into the rows of all.
pub(crate) struct Part {
    pub(crate) range: Range<usize>,
    pub(crate) values: Vec<f32>,
}

impl Part {
    pub(crate) fn new(range: Range<usize>, width: usize) -> Self {
        Self { values: vec![0.0; range.len() * width], range }
    }

    /// The rows from the first to the last of some nodes.
    pub(crate) fn among(nodes: &[u32], width: usize) -> Self {
        let first = nodes.iter().min().map_or(0, |&node| node as usize);
        Self::new(first..nodes.iter().max().map_or(0, |&node| node as usize + 1), width)
    }

    pub(crate) fn row(&mut self, node: usize, width: usize) -> &mut [f32] {
        &mut self.values[(node - self.range.start) * width..][..width]
    }
}

/// Adds the rows of parts into those of all, to each in the order of the parts.
pub(crate) fn add_parts<'a>(all: &mut [f32], parts: impl Iterator<Item = &'a Part>, width: usize) {
    let parts: Vec<&Part> = parts.collect();
    let block = (BLOCK_VALUES / width.max(1)).max(1);
    in_chunks(all, block * width.max(1), |k, rows| {
        let nodes = k * block..k * block + rows.len() / width;
        for part in &parts {
            let (start, end) = (part.range.start.max(nodes.start), part.range.end.min(nodes.end));
            if start < end {
                let own = &part.values[(start - part.range.start) * width..(end - part.range.start) * width];
                simd::add(&mut rows[(start - nodes.start) * width..(end - nodes.start) * width], own);
            }
        }
    });
}

/// Runs work on chunks of a result, given the number of each: side by side, or here where there is only one. A hand-over to
/// another thread takes as long as some ten thousand operations.
pub(crate) fn in_chunks(all: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Send + Sync) {
    if all.len() <= size {
        work(0, all);
    } else {
        all.par_chunks_mut(size.max(1)).enumerate().for_each(|(k, chunk)| work(k, chunk));
    }
}

/// Values of rows that are added up as one task.
const BLOCK_VALUES: usize = 1 << 13;

/// Does work on lanes on rayon's own threads, even where there is only one lane: the caller, and there may be
/// many, needs no row buffers then.
pub(crate) fn on_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

thread_local! {
    /// Row buffers of a tile, kept from call to call.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Gives `N` row buffers of `size` values each, whose content is whatever was there before.
pub(crate) fn with_scratch<const N: usize, T>(size: usize, work: impl FnOnce([&mut [f32]; N]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < N * size {
            scratch.resize(N * size, 0.0);
        }
        let mut rest = scratch.as_mut_slice();
        work(std::array::from_fn(|_| {
            let (buffer, others) = std::mem::take(&mut rest).split_at_mut(size);
            rest = others;
            buffer
        }))
    })
}
