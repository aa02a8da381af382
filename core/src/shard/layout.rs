//! Which rank owns which values.

use std::ops::Range;

use isograd_backends::message::MessageBackend;

use crate::model::{self, Egnn};

/// One parameter of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path in the module.
    pub path: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Number of values.
    pub size: usize,
}

/// Values of one parameter, flattened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Position of the parameter.
    pub parameter: usize,
    /// Which of its values.
    pub range: Range<usize>,
}

/// The parameters of a model, by stage, and how R ranks share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// In the order of [`model::read`].
    pub parameters: Vec<Entry>,
    /// The parameters of each stage.
    stages: Vec<Range<usize>>,
    ranks: usize,
}

impl Layout {
    /// Of a model on `ranks` ranks.
    pub fn new<B: MessageBackend>(model: &Egnn<B>, ranks: usize) -> Self {
        let entry = |parameter: model::Parameter<B>| {
            let size = parameter.shape.iter().product();
            Entry { path: parameter.path, shape: parameter.shape, size }
        };
        let parameters = model::read(model).into_iter().map(entry).collect();
        let mut start = 0;
        let next = |stage: &model::EgnnStage<B>| {
            let count = model::read(stage).len();
            start += count;
            start - count..start
        };
        Self { parameters, stages: model.stages().iter().map(next).collect(), ranks }
    }

    /// The same parameters on another number of ranks.
    pub fn on(&self, ranks: usize) -> Self {
        Self { ranks, ..self.clone() }
    }

    /// R.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Number of stages.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// Positions of the parameters of a stage.
    pub fn stage(&self, stage: usize) -> Range<usize> {
        self.stages[stage].clone()
    }

    /// The stage that a parameter belongs to.
    pub fn stage_of(&self, parameter: usize) -> usize {
        self.stages.iter().position(|stage| stage.contains(&parameter)).unwrap_or(self.stages.len())
    }

    /// Positions of all parameters in the order of their paths, in which files hold them.
    pub fn by_path(&self) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..self.parameters.len()).collect();
        positions.sort_by(|&a, &b| self.parameters[a].path.cmp(&self.parameters[b].path));
        positions
    }

    /// Sizes of the parameters of a stage.
    pub fn sizes(&self, stage: usize) -> Vec<usize> {
        self.parameters[self.stage(stage)].iter().map(|entry| entry.size).collect()
    }

    /// Length of a rank's piece of a stage, padding included: the same for all ranks.
    pub fn piece(&self, stage: usize) -> usize {
        self.sizes(stage).iter().sum::<usize>().div_ceil(self.ranks)
    }

    /// The values of a rank's piece of a stage, one after the other; the rest of the piece is padding.
    pub fn fragments(&self, stage: usize, rank: usize) -> Vec<Fragment> {
        let piece = self.piece(stage);
        let (from, to) = (rank * piece, (rank + 1) * piece);
        let mut start = 0;
        let mut found = Vec::new();
        for parameter in self.stage(stage) {
            let end = start + self.parameters[parameter].size;
            let (low, high) = (from.max(start), to.min(end));
            if low < high {
                found.push(Fragment { parameter, range: low - start..high - start });
            }
            start = end;
        }
        found
    }

    /// All values that a rank owns, in the order of stages and parameters.
    pub fn owned(&self, rank: usize) -> Vec<Fragment> {
        (0..self.stages()).flat_map(|stage| self.fragments(stage, rank)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(stages: &[Vec<usize>], ranks: usize) -> Layout {
        let entry = |&size: &usize| Entry { path: "p".into(), shape: vec![size], size };
        let mut start = 0;
        let ranges = stages.iter().map(|sizes| {
            start += sizes.len();
            start - sizes.len()..start
        });
        Layout { stages: ranges.collect(), parameters: stages.iter().flatten().map(entry).collect(), ranks }
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

    proptest! {
        #[test]
        fn every_value_is_owned_once_and_evenly(
            stages in prop::collection::vec(prop::collection::vec(1usize..40, 1..6), 1..6), ranks in 1usize..9,
        ) {
            let layout = layout(&stages, ranks);
            let mut owners: Vec<Vec<usize>> = layout.parameters.iter().map(|entry| vec![0; entry.size]).collect();
            for rank in 0..ranks {
                for (stage, sizes) in stages.iter().enumerate() {
                    let held: usize = layout.fragments(stage, rank).iter().map(|fragment| fragment.range.len()).sum();
                    prop_assert!(held <= layout.piece(stage));
                    prop_assert!(layout.piece(stage) * ranks < sizes.iter().sum::<usize>() + ranks);
                }
                for Fragment { parameter, range } in layout.owned(rank) {
                    owners[parameter][range].iter_mut().for_each(|count| *count += 1);
                }
            }
            prop_assert!(owners.iter().flatten().all(|&count| count == 1));
        }
    }
}
