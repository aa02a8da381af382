//! Which rank owns which values.

use std::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::{Result, Spec, WeightSource};

/// Values of one parameter, flattened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Position of the parameter.
    pub parameter: usize,
    /// Which of its values.
    pub range: Range<usize>,
}

/// The parameters of a model, block by block, and how R ranks share them.
///
/// Each block is flattened on its own, padded to a multiple of R, and cut into R equal pieces, whatever parameters that
/// cuts. Were the whole model one vector, a rank's piece would be a few complete blocks, and every sum over such a
/// block would converge on that one rank.
#[derive(Debug, Clone)]
pub struct Layout {
    parameters: Vec<Spec>,
    /// The parameters of each block.
    blocks: Vec<Range<usize>>,
    ranks: usize,
}

impl Layout {
    /// Of the declared parameters of each block, on `ranks` ranks.
    pub fn new(blocks: Vec<Vec<Spec>>, ranks: usize) -> Self {
        let mut start = 0;
        let next = |specs: &Vec<Spec>| {
            start += specs.len();
            start - specs.len()..start
        };
        let ranges = blocks.iter().map(next).collect();
        Self { parameters: blocks.into_iter().flatten().collect(), blocks: ranges, ranks }
    }

    /// The same parameters on another number of ranks.
    pub fn on(&self, ranks: usize) -> Self {
        Self { ranks, ..self.clone() }
    }

    /// The same with those parameters frozen whose paths are said to be.
    #[must_use]
    pub fn freeze(mut self, is_frozen: impl Fn(&str) -> bool) -> Self {
        self.parameters.iter_mut().for_each(|spec| spec.frozen = is_frozen(&spec.path));
        self
    }

    /// The parameters, in the order of their declaration.
    pub fn parameters(&self) -> &[Spec] {
        &self.parameters
    }

    /// Those of a block.
    pub fn parameters_of(&self, block: usize) -> &[Spec] {
        &self.parameters[self.block(block)]
    }

    /// R.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Positions of the parameters of a block.
    pub fn block(&self, block: usize) -> Range<usize> {
        self.blocks[block].clone()
    }

    /// The block that a parameter belongs to.
    pub fn block_of(&self, parameter: usize) -> usize {
        self.blocks.iter().position(|block| block.contains(&parameter)).unwrap_or(self.blocks.len())
    }

    /// Positions of all parameters in the order of their paths, in which files hold them.
    pub fn by_path(&self) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..self.parameters.len()).collect();
        positions.sort_by(|&a, &b| self.parameters[a].path.cmp(&self.parameters[b].path));
        positions
    }

    /// Sizes of the parameters of a block.
    pub fn sizes(&self, block: usize) -> Vec<usize> {
        self.parameters[self.block(block)].iter().map(Spec::size).collect()
    }

    /// Number of scalars in all parameters.
    pub fn count(&self) -> usize {
        self.parameters.iter().map(Spec::size).sum()
    }

    /// Length of a rank's piece of a block, padding included: the same for all ranks.
    pub fn piece(&self, block: usize) -> usize {
        self.sizes(block).iter().sum::<usize>().div_ceil(self.ranks)
    }

    /// The values of a rank's piece of a block, one after the other; the rest of the piece is padding.
    pub fn fragments(&self, block: usize, rank: usize) -> Vec<Fragment> {
        let piece = self.piece(block);
        let (from, to) = (rank * piece, (rank + 1) * piece);
        let mut start = 0;
        let mut found = Vec::new();
        for parameter in self.block(block) {
            let end = start + self.parameters[parameter].size();
            let (low, high) = (from.max(start), to.min(end));
            if low < high {
                found.push(Fragment { parameter, range: low - start..high - start });
            }
            start = end;
        }
        found
    }

    /// All values that a rank owns, in the order of blocks and parameters.
    pub fn owned(&self, rank: usize) -> Vec<Fragment> {
        (0..self.blocks()).flat_map(|block| self.fragments(block, rank)).collect()
    }

    /// All parameters as they begin, flat.
    pub fn whole<B: Backend>(&self, seed: u64, device: &B::Device) -> Vec<Tensor<B, 1>> {
        let values = |spec: &Spec| {
            let values = spec.initial(seed, 0..spec.size());
            Tensor::from_data(TensorData::new(values, [spec.size()]), device)
        };
        self.parameters.iter().map(values).collect()
    }

    /// A rank's piece of each block as it begins. Nothing is made but what the piece is cut from, a parameter at a time.
    pub fn pieces<B: Backend>(&self, seed: u64, rank: usize, device: &B::Device) -> Vec<Tensor<B, 1>> {
        let piece = |block: usize| {
            let mut values = Vec::with_capacity(self.piece(block));
            for Fragment { parameter, range } in self.fragments(block, rank) {
                values.extend(self.parameters[parameter].initial(seed, range));
            }
            values.resize(self.piece(block), 0.0);
            let length = values.len();
            Tensor::from_data(TensorData::new(values, [length]), device)
        };
        (0..self.blocks()).map(piece).collect()
    }

    /// Weights that are all at hand, flat, in the order of their declaration.
    pub fn view<'a, B: Backend>(&'a self, values: &'a [Tensor<B, 1>]) -> Whole<'a, B> {
        Whole { layout: self, values }
    }
}

/// Weights that are all at hand.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a, B: Backend> {
    layout: &'a Layout,
    values: &'a [Tensor<B, 1>],
}

impl<B: Backend> WeightSource<B> for Whole<'_, B> {
    fn weights(&self, block: usize) -> Result<Vec<Tensor<B, 1>>> {
        Ok(self.values[self.layout.block(block)].to_vec())
    }

    fn parameters(&self, block: usize) -> &[Spec] {
        self.layout.parameters_of(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Init;
    use burn_flex::Flex;
    use proptest::prelude::*;

    fn layout(blocks: &[Vec<usize>], ranks: usize) -> Layout {
        let mut next = 0;
        let mut spec = |&size: &usize| {
            next += 1;
            Spec::new(format!("p{next}"), vec![size], Init::Uniform(1.0))
        };
        Layout::new(blocks.iter().map(|sizes| sizes.iter().map(&mut spec).collect()).collect(), ranks)
    }

    #[test]
    fn pieces_cut_tensors() {
        let layout = layout(&[vec![3, 4], vec![2]], 3);
        assert_eq!([layout.piece(0), layout.piece(1)], [3, 1]);
        let fragment = |parameter, range| Fragment { parameter, range };
        assert_eq!(layout.owned(0), [fragment(0, 0..3), fragment(2, 0..1)]);
        assert_eq!(layout.owned(1), [fragment(1, 0..3), fragment(2, 1..2)]);
        assert_eq!(layout.owned(2), [fragment(1, 3..4)]);
    }

    #[test]
    fn pieces_begin_as_the_whole() {
        let layout = layout(&[vec![3, 4], vec![2, 9, 1]], 3);
        let device = Default::default();
        let whole = layout.whole::<Flex>(7, &device);
        for rank in 0..3 {
            for (block, piece) in layout.pieces::<Flex>(7, rank, &device).into_iter().enumerate() {
                let mut expected = Vec::new();
                for Fragment { parameter, range } in layout.fragments(block, rank) {
                    expected.extend_from_slice(&whole[parameter].to_data().to_vec::<f32>().unwrap()[range]);
                }
                expected.resize(layout.piece(block), 0.0);
                assert_eq!(piece.into_data().to_vec::<f32>().unwrap(), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_is_owned_once_and_evenly(
            blocks in prop::collection::vec(prop::collection::vec(1usize..40, 1..6), 1..6), ranks in 1usize..9,
        ) {
            let layout = layout(&blocks, ranks);
            let mut owners: Vec<Vec<usize>> = layout.parameters.iter().map(|spec| vec![0; spec.size()]).collect();
            for rank in 0..ranks {
                for (block, sizes) in blocks.iter().enumerate() {
                    let held: usize = layout.fragments(block, rank).iter().map(|fragment| fragment.range.len()).sum();
                    prop_assert!(held <= layout.piece(block));
                    prop_assert!(layout.piece(block) * ranks < sizes.iter().sum::<usize>() + ranks);
                }
                for Fragment { parameter, range } in layout.owned(rank) {
                    owners[parameter][range].iter_mut().for_each(|count| *count += 1);
                }
            }
            prop_assert!(owners.iter().flatten().all(|&count| count == 1));
        }
    }
}
