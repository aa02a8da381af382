//! The operation on values and tangents on the CPU. A buffer has the rows of a tile's values over those of their
//! tangents: each product with weights is then one product of all of them, which packs the weights once.

pub(super) mod backward;
pub(super) mod forward;

use std::ops::Range;

use burn_flex::Flex;

use super::forward::{First, preactivations};
use super::{Host, tiles};
use crate::host::Values;
use crate::index::EdgeIndex;
use crate::message::dual::dual_sizes;
use crate::message::{DualInputs, scratch};

/// The inputs of the operation in host memory.
pub(super) struct DualHost<'a> {
    primal: Host<'a>,
    receiver: Values,
    sender: Values,
    features: Option<Values>,
    envelope: Option<Values>,
}

impl<'a> DualHost<'a> {
    /// `None` where there are no edges, or the numbers are not in single precision.
    pub(super) fn new(edges: &'a EdgeIndex<Flex>, inputs: &DualInputs<Flex>) -> Option<Self> {
        dual_sizes(edges, inputs);
        let DualInputs { primal, tangent } = inputs;
        Some(Self {
            primal: Host::new(edges, primal)?,
            receiver: Values::new(&tangent.receiver),
            sender: Values::new(&tangent.sender),
            features: tangent.features.as_ref().map(Values::new),
            envelope: tangent.envelope.as_ref().map(Values::new),
        })
    }

    /// Edges of a tile.
    fn tile(&self) -> usize {
        scratch::dual_rows(self.primal.width)
    }

    /// Values of a buffer.
    fn buffer(&self) -> usize {
        2 * self.tile() * self.primal.width
    }

    /// The tiles of a lane.
    fn tiles(&self, lane: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        tiles(lane, self.tile())
    }

    /// `[w, w']`.
    fn envelope(&self, edge: usize) -> [f32; 2] {
        let moved = self.envelope.as_ref().map_or(0.0, |envelope| envelope.get()[edge]);
        [self.primal.envelope(edge), moved]
    }

    /// `a1` of the edges of a tile, over its tangents.
    #[inline(always)]
    fn preactivations(&self, tile: &Range<usize>, rows: &mut [f32]) {
        let (values, tangents) = halves(rows);
        let moved = First {
            receiver: self.receiver.get(),
            sender: self.sender.get(),
            features: self.features.as_ref().map(Values::get),
        };
        preactivations(&self.primal, &self.primal.first(), tile, values);
        preactivations(&self.primal, &moved, tile, tangents);
    }
}

/// The rows of values and those of tangents.
fn halves(rows: &mut [f32]) -> (&mut [f32], &mut [f32]) {
    let half = rows.len() / 2;
    rows.split_at_mut(half)
}
