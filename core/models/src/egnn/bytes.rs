//! How much memory the blocks of an EGNN take, from sizes alone.

use isograd_backends::message::scratch::{MessageShape, Scratch, scratch};
use isograd_backends::profile::{Profile, VALUE};
use isograd_backends::value::EdgeWork;
use isograd_engine::{BlockBytes, Layout};

use super::Egnn;
use crate::nn::{Basis, Envelope};
use crate::{GraphSizes, Inputs, NodeVectors};

/// Bytes of each block.
pub(super) fn blocks(
    config: &Egnn,
    inputs: &Inputs,
    layout: &Layout,
    sizes: GraphSizes,
    profile: Profile,
) -> Vec<BlockBytes> {
    let parameters = |block: usize| VALUE * layout.sizes(block).iter().map(|&size| size as u64).sum::<u64>();
    let embedding = BlockBytes {
        parameters: parameters(0),
        output: VALUE * sizes.nodes * config.width as u64,
        kept: 0,
        forward: 0,
        backward: parameters(0) + VALUE * sizes.nodes * config.width as u64,
    };
    let layers = (0..config.layers).map(|layer| {
        let shape = LayerShape { config, inputs, sizes, profile, layer };
        shape.bytes(parameters(layer + 1))
    });
    std::iter::once(embedding).chain(layers).collect()
}

/// Bytes that the message operation holds from its first call on.
pub(super) fn held(config: &Egnn, inputs: &Inputs, sizes: GraphSizes, profile: Profile) -> u64 {
    let of = |layer| LayerShape { config, inputs, sizes, profile, layer }.scratch().held;
    (0..config.layers).map(of).max().unwrap_or(0)
}

/// What decides the memory of one layer.
struct LayerShape<'a> {
    config: &'a Egnn,
    inputs: &'a Inputs,
    sizes: GraphSizes,
    profile: Profile,
    layer: usize,
}

impl LayerShape<'_> {
    fn last(&self) -> bool {
        self.layer + 1 == self.config.layers
    }

    /// Whether work on edges is done by the fused operation: layers with attention are composed all the same.
    fn fuses(&self) -> bool {
        self.inputs.edge_work == EdgeWork::Fused && !self.config.attention
    }

    /// Whether coordinates have moved before.
    fn moved(&self) -> bool {
        self.config.coordinate_updates && self.layer > 0
    }

    fn gate(&self) -> bool {
        self.config.moves(self.layer, self.inputs.vectors)
            || (self.last() && self.inputs.vectors == NodeVectors::Direct)
    }

    fn scratch(&self) -> Scratch {
        if !self.fuses() {
            return Scratch::default();
        }
        let shape = MessageShape {
            nodes: self.sizes.nodes,
            edges: self.sizes.edges,
            width: self.config.width as u64,
            basis: self.config.basis.size() as u64,
            gate: self.gate(),
            geometry: self.moved(),
            weights: true,
            dual: false,
            graphs: self.sizes.graphs,
        };
        scratch(self.profile, shape)
    }

    fn bytes(&self, parameters: u64) -> BlockBytes {
        let GraphSizes { nodes, edges, .. } = self.sizes;
        let width = self.config.width as u64;
        let node = VALUE * nodes * width;
        let coordinates = VALUE * self.inputs.dims as u64 * nodes;
        // What the sum of messages flows through, and for the last layer the readout of the energies.
        let update = 3 * node;
        let readout = if self.last() { 3 * node } else { 0 };
        let (message, message_back) = if self.fuses() { self.fused_bytes() } else { self.composed_bytes() };
        let kept = message + update + readout + self.geometry_bytes() + self.deep_bytes();
        let displacement = if self.config.coordinate_updates { coordinates } else { 0 };
        let first = if self.config.initial_residual > 0.0 { node } else { 0 };
        let output = if self.last() { coordinates } else { node + displacement + first };
        // Three moments: at the start, with what the update needs; when messages are differentiated, and
        // what comes after them is gone; when the gradients of all parameters are there.
        let square = VALUE * width * width;
        let (pulls, moved) = self.geometry_back();
        let start = (2 * node + square).max(pulls);
        let middle = (2 * node + 3 * square + message_back).saturating_sub(update + readout);
        let end = (parameters + 4 * node + moved).saturating_sub(update + readout + message);
        BlockBytes {
            parameters,
            output,
            kept,
            forward: self.scratch().forward + VALUE * edges,
            backward: start.max(middle).max(end),
        }
    }

    /// What normalisation and the first features keep.
    fn deep_bytes(&self) -> u64 {
        let node = VALUE * self.sizes.nodes * self.config.width as u64;
        let norm = if self.config.normalisation == crate::nn::Normalisation::None { 0 } else { 4 * node };
        let residual = if self.config.initial_residual > 0.0 { node } else { 0 };
        norm + residual
    }

    /// What is kept of coordinates that have moved, and of the scalars that move them or make vectors.
    fn geometry_bytes(&self) -> u64 {
        let edge = VALUE * self.sizes.edges;
        let (dims, basis) = (self.inputs.dims as u64, self.config.basis.size() as u64);
        let moved = match (self.moved(), self.config.basis) {
            (false, _) => 0,
            (true, Basis::SquaredDistance) => dims + basis,
            (true, Basis::Bessel { .. } | Basis::Gaussian { .. }) => dims + 2 + 3 * basis,
        };
        let faded = if self.config.envelope == Envelope::None { 1 } else { 2 };
        let scalars = match (self.gate(), self.inputs.vectors) {
            (false, _) => 0,
            (true, NodeVectors::Direct) if self.last() => dims + faded,
            (true, _) => faded,
        };
        edge * (moved + scalars)
    }

    /// Gradients of scalars and of the vectors they pull along; later, of features and vectors that have moved.
    fn geometry_back(&self) -> (u64, u64) {
        let edge = VALUE * self.sizes.edges;
        let pulls = if self.gate() { (2 + 2 * self.inputs.dims as u64) * edge } else { 0 };
        let moved = (2 + 2 * self.inputs.dims as u64 + 2 * self.config.basis.size() as u64) * edge;
        (pulls, if self.moved() { moved } else { 0 })
    }

    /// What the fused operation keeps, and what it needs on the way back: beside its own, the gradients of
    /// the rows of receivers and senders.
    fn fused_bytes(&self) -> (u64, u64) {
        let node = VALUE * self.sizes.nodes * self.config.width as u64;
        let split = if self.inputs.heads > 1 && self.last() { 2 * node } else { 0 };
        (2 * node + split, 2 * node + self.scratch().backward)
    }

    /// The same of operations on values, which keep what they read: the first linear map's output, its SiLU, and the
    /// second's output; with a gate or attention the messages; of a gate its linear map's output and the SiLU of that.
    fn composed_bytes(&self) -> (u64, u64) {
        let row = VALUE * self.sizes.edges * self.config.width as u64;
        let attention = u64::from(self.config.attention);
        let gate = if self.gate() { 3 } else { 0 };
        (row * (3 + attention + gate), 2 * row)
    }
}
