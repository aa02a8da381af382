//! The operation on the CPU: tiles of edges that stay in the cache, matrix products by the `gemm`
//! crate, everything else in vectorised loops, lanes of tiles side by side on rayon's threads.
//!
//! Edges are cut into lanes, and lanes into tiles, by their number alone. Each lane sums into buffers
//! of its own (the receivers and senders that it touches, and the weights), which are added in the
//! order of the lanes. So no atomics are needed, and results are the same to the bit for any number of
//! threads.

mod backward;
mod dual;
mod forward;
mod sums;

use std::ops::Range;

use burn::tensor::DType;
use burn_flex::Flex;

use self::dual::DualHost;
use self::forward::First;
use super::{
    DualGradients, DualInputs, DualOutputs, EdgeIndex, MessageBackend, MessageGradients, MessageInputs, MessageOutputs,
    Wanted, reference, scratch, sizes,
};
use crate::host::Values;

impl MessageBackend for Flex {
    fn message(edges: &EdgeIndex<Self>, inputs: &MessageInputs<Self>) -> MessageOutputs<Self> {
        match Host::new(edges, inputs) {
            Some(host) => forward::message(&host),
            None => reference::message(edges, inputs),
        }
    }

    fn message_backward(
        edges: &EdgeIndex<Self>,
        inputs: &MessageInputs<Self>,
        outputs: MessageOutputs<Self>,
        wanted: Wanted,
    ) -> MessageGradients<Self> {
        match Host::new(edges, inputs) {
            Some(host) => backward::message_backward(&host, outputs, wanted),
            None => reference::message_backward(edges, inputs, outputs, wanted),
        }
    }

    fn message_dual(edges: &EdgeIndex<Self>, inputs: &DualInputs<Self>) -> DualOutputs<Self> {
        match DualHost::new(edges, inputs) {
            Some(host) => dual::forward::message_dual(&host),
            None => reference::message_dual(edges, inputs),
        }
    }

    fn message_dual_backward(
        edges: &EdgeIndex<Self>,
        inputs: &DualInputs<Self>,
        outputs: DualOutputs<Self>,
        wanted: Wanted,
    ) -> DualGradients<Self> {
        match DualHost::new(edges, inputs) {
            Some(host) => dual::backward::message_dual_backward(&host, outputs, wanted),
            None => reference::message_dual_backward(edges, inputs, outputs, wanted),
        }
    }
}

struct HostGate {
    weight: Values,
    bias: Values,
    readout: Values,
}

/// The inputs of the operation in host memory.
struct Host<'a> {
    nodes: usize,
    receivers: &'a [u32],
    senders: &'a [u32],
    width: usize,
    basis: usize,
    receiver: Values,
    sender: Values,
    features: Values,
    envelope: Option<Values>,
    edge_weight: Values,
    weight: Values,
    bias: Values,
    gate: Option<HostGate>,
}

impl<'a> Host<'a> {
    /// `None` where there are no edges, or the numbers are not in single precision.
    fn new(edges: &'a EdgeIndex<Flex>, inputs: &MessageInputs<Flex>) -> Option<Self> {
        let [_, count, basis, width] = sizes(edges, inputs);
        if count == 0 || inputs.receiver.dtype() != DType::F32 {
            return None;
        }
        Some(Self {
            nodes: edges.nodes(),
            receivers: &edges.receivers.host.group_of,
            senders: &edges.senders.host.group_of,
            width,
            basis,
            receiver: Values::new(&inputs.receiver),
            sender: Values::new(&inputs.sender),
            features: Values::new(&inputs.features),
            envelope: inputs.envelope.as_ref().map(Values::new),
            edge_weight: Values::new(&inputs.edge_weight),
            weight: Values::new(&inputs.weight),
            bias: Values::new(&inputs.bias),
            gate: inputs.gate.as_ref().map(|gate| HostGate {
                weight: Values::new(&gate.weight),
                bias: Values::new(&gate.bias),
                readout: Values::new(&gate.readout),
            }),
        })
    }

    fn first(&self) -> First<'_> {
        First { receiver: self.receiver.get(), sender: self.sender.get(), features: Some(self.features.get()) }
    }

    fn count(&self) -> usize {
        self.receivers.len()
    }

    /// Edges of a tile.
    fn tile(&self) -> usize {
        scratch::rows(self.width)
    }

    /// The lanes, as ranges of edges that begin at a tile.
    fn lanes(&self) -> Vec<Range<usize>> {
        let count = self.count();
        let length = scratch::lane(count, self.width);
        (0..count).step_by(length).map(|start| start..(start + length).min(count)).collect()
    }

    fn envelope(&self, edge: usize) -> f32 {
        self.envelope.as_ref().map_or(1.0, |envelope| envelope.get()[edge])
    }
}

/// A lane in tiles of as many edges.
fn tiles(lane: &Range<usize>, tile: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = lane.end;
    lane.clone().step_by(tile).map(move |start| start..(start + tile).min(end))
}
