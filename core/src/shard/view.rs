//! The weights of a model in training, to predict with or to write down.

use burn::tensor::Tensor;
use isograd_backends::comm::Communicator;
use isograd_backends::message::MessageBackend;

use super::Layout;
use super::gather::Gathering;
use crate::Result;
use crate::engine::{forward, forward_idle};
use crate::graph::GraphBatch;
use crate::model::{self, Egnn, Prediction, Predictor};

/// The latest or the averaged weights of a model in training. Where ranks own pieces of them, those of a stage of the
/// model are gathered when they are needed, and all ranks must ask for the same.
pub struct View<'a, B: MessageBackend> {
    pub(super) comm: &'a dyn Communicator<B>,
    pub(super) layout: &'a Layout,
    /// Without parameters where there are pieces.
    pub(super) shape: Egnn<B>,
    /// What this rank owns of each stage; `None` where it has all.
    pub(super) pieces: Option<&'a [Tensor<B, 1>]>,
}

impl<'a, B: MessageBackend> View<'a, B> {
    /// Which rank owns what.
    pub fn layout(&self) -> &Layout {
        self.layout
    }

    /// Whether this is rank 0.
    pub fn is_first(&self) -> bool {
        self.comm.rank() == 0
    }

    /// Whether weights are gathered, in which all ranks take part.
    pub fn is_cut(&self) -> bool {
        self.pieces.is_some()
    }

    /// The parameters of a stage, flattened, in the order of [`model::read`].
    ///
    /// # Errors
    /// [`crate::Error::Ranks`].
    pub fn stage(&self, stage: usize) -> Result<Vec<Tensor<B, 1>>> {
        match self.pieces {
            Some(pieces) => Ok(self.comm.all_gather(pieces[stage].clone(), self.layout.sizes(stage)).wait()?),
            None => {
                let all = model::read(&self.shape).into_iter().map(|parameter| parameter.values);
                let range = self.layout.stage(stage);
                Ok(all.skip(range.start).take(range.len()).collect())
            }
        }
    }

    fn gathering(&self, pieces: &'a [Tensor<B, 1>]) -> Gathering<'_, B, B> {
        Gathering::new(self.comm, self.layout, pieces, self.shape.stages(), std::convert::identity)
    }
}

impl<B: MessageBackend> Predictor<B> for View<'_, B> {
    fn shape(&self) -> &Egnn<B> {
        &self.shape
    }

    fn predict(&self, batch: &GraphBatch<B>) -> Result<Prediction<B>> {
        match self.pieces {
            Some(pieces) => Ok(forward(&self.gathering(pieces), &self.shape.stage_graph(batch))?.into()),
            None => Ok(self.shape.forward(batch)),
        }
    }

    fn idle(&self) -> Result<()> {
        self.pieces.map_or(Ok(()), |pieces| forward_idle(&self.gathering(pieces)))
    }
}
