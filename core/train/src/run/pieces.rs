//! Values of a snapshot, put together from the files of the ranks that wrote it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use isograd_engine::{Fragment, Layout};

use crate::Result;
use crate::tensor_file::TensorFile;

/// The files of a snapshot.
pub(super) struct Pieces {
    paths: Vec<PathBuf>,
    /// Those that something was read from.
    open: Vec<Option<TensorFile>>,
    layout: Layout,
    /// Where the values of each parameter are: rank, and which of them, in order.
    places: Vec<Vec<(usize, Range<usize>)>>,
}

impl Pieces {
    /// Files by rank, written in this layout.
    pub(super) fn new(folder: &Path, names: Vec<String>, layout: Layout) -> Self {
        let mut places = vec![Vec::new(); layout.parameters().len()];
        for rank in 0..layout.ranks() {
            for Fragment { parameter, range } in layout.owned(rank) {
                places[parameter].push((rank, range));
            }
        }
        let paths: Vec<PathBuf> = names.into_iter().map(|name| folder.join(name)).collect();
        Self { open: paths.iter().map(|_| None).collect(), paths, layout, places }
    }

    fn file(&mut self, rank: usize) -> Result<&mut TensorFile> {
        let file = match self.open[rank].take() {
            Some(file) => file,
            None => TensorFile::open(&self.paths[rank])?,
        };
        Ok(self.open[rank].insert(file))
    }

    /// Whether any rank has written values of a group. A rank that owns nothing but matrices has no second moments.
    fn has(&mut self, group: &str) -> Result<bool> {
        for rank in 0..self.paths.len() {
            if self.file(rank)?.has(&format!("{group}.")) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The values of fragments of a group, one after the other, with zeros up to `length`; `None` where the
    /// snapshot has no such group.
    pub(super) fn read<B: Backend>(
        &mut self,
        group: &str,
        fragments: &[Fragment],
        length: usize,
        device: &B::Device,
    ) -> Result<Option<Tensor<B, 1>>> {
        if !self.has(group)? {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(length);
        for Fragment { parameter, range } in fragments {
            let name = format!("{group}.{}", self.layout.parameters()[*parameter].path);
            for (rank, place) in self.places[*parameter].clone() {
                let (low, high) = (range.start.max(place.start), range.end.min(place.end));
                if low < high {
                    let within = low - place.start..high - place.start;
                    values.extend(self.file(rank)?.read(&name, &[place.len()], within)?);
                }
            }
        }
        values.resize(length, 0.0);
        Ok(Some(Tensor::from_data(TensorData::new(values, [length]), device)))
    }
}
