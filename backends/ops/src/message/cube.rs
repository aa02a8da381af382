//! The operation on wgpu and CUDA, from one source: tiles of edges whose rows fit a share of the
//! device's memory, kernels of our own for everything but the matrix products.
//!
//! There are no atomics, and tiles run one after the other, so results are the same each time.
#![allow(unsafe_code, reason = "kernels check their bounds themselves; `Device` checks the indices")]

mod backward;
mod dual;
mod forward;
mod kernels;
mod sums;

use std::ops::Range;

use burn::tensor::Tensor;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeRuntime};
use cubecl::client::ComputeClient;

use self::dual::DualDevice;
use super::{
    DualGradients, DualInputs, DualOutputs, EdgeIndex, MessageBackend, MessageGradients, MessageInputs, MessageOutputs,
    Wanted, reference, scratch, sizes,
};
use crate::cube::{Cube, buffer, integers, vector_size};

impl<R: CubeRuntime, BT: BoolElement> MessageBackend for CubeBackend<R, f32, i32, BT> {
    fn message(edges: &EdgeIndex<Self>, inputs: &MessageInputs<Self>) -> MessageOutputs<Self> {
        match Device::new(edges, inputs) {
            Some(device) => forward::message(&device, inputs),
            None => reference::message(edges, inputs),
        }
    }

    fn message_backward(
        edges: &EdgeIndex<Self>,
        inputs: &MessageInputs<Self>,
        outputs: MessageOutputs<Self>,
        wanted: Wanted,
    ) -> MessageGradients<Self> {
        match Device::new(edges, inputs) {
            Some(device) => backward::message_backward(&device, inputs, outputs, wanted),
            None => reference::message_backward(edges, inputs, outputs, wanted),
        }
    }

    fn message_dual(edges: &EdgeIndex<Self>, inputs: &DualInputs<Self>) -> DualOutputs<Self> {
        match DualDevice::new(edges, inputs) {
            Some(device) => dual::forward::message_dual(&device, inputs),
            None => reference::message_dual(edges, inputs),
        }
    }

    fn message_dual_backward(
        edges: &EdgeIndex<Self>,
        inputs: &DualInputs<Self>,
        outputs: DualOutputs<Self>,
        wanted: Wanted,
    ) -> DualGradients<Self> {
        match DualDevice::new(edges, inputs) {
            Some(device) => dual::backward::message_dual_backward(&device, inputs, outputs, wanted),
            None => reference::message_dual_backward(edges, inputs, outputs, wanted),
        }
    }
}

/// A matrix or a column on the device.
type Rows<R, BT> = Tensor<Cube<R, BT>, 2>;

/// What kernels read in every tile.
struct Device<'a, R: CubeRuntime, BT: BoolElement> {
    edges: &'a EdgeIndex<Cube<R, BT>>,
    client: ComputeClient<R>,
    nodes: usize,
    count: usize,
    basis: usize,
    width: usize,
    receivers: CubeTensor<R>,
    senders: CubeTensor<R>,
    receiver: CubeTensor<R>,
    sender: CubeTensor<R>,
    features: CubeTensor<R>,
    /// The buffer of the features where there is no envelope, which no kernel then reads.
    envelope: CubeTensor<R>,
    edge_weight: CubeTensor<R>,
    bias: CubeTensor<R>,
}

impl<'a, R: CubeRuntime, BT: BoolElement> Device<'a, R, BT> {
    /// `None` where there are no edges. `EdgeIndex` has checked all indices, `sizes` checks all shapes.
    fn new(edges: &'a EdgeIndex<Cube<R, BT>>, inputs: &MessageInputs<Cube<R, BT>>) -> Option<Self> {
        let [nodes, count, basis, width] = sizes(edges, inputs);
        if count == 0 || basis == 0 {
            return None;
        }
        let features = buffer(inputs.features.clone());
        Some(Self {
            edges,
            client: features.client.clone(),
            nodes,
            count,
            basis,
            width,
            receivers: integers(&edges.receivers.group_of),
            senders: integers(&edges.senders.group_of),
            receiver: buffer(inputs.receiver.clone()),
            sender: buffer(inputs.sender.clone()),
            envelope: inputs.envelope.clone().map_or_else(|| features.clone(), buffer),
            features,
            edge_weight: buffer(inputs.edge_weight.clone()),
            bias: buffer(inputs.bias.clone()),
        })
    }

    /// Values that a unit works on at once.
    fn vector(&self) -> usize {
        vector_size(self.width)
    }

    /// Vectors of a row.
    fn columns(&self) -> usize {
        self.width / self.vector()
    }

    /// Tiles of edges, each of which has so many rows in a buffer.
    fn tiles(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + use<R, BT> {
        let tile = scratch::tile(self.client.properties().memory.max_page_size, self.width) / rows;
        let count = self.count;
        (0..count).step_by(tile).map(move |start| start..(start + tile).min(count))
    }

    /// Receivers of a tile, the first and one past the last.
    fn receivers_of(&self, tile: &Range<usize>) -> Range<usize> {
        let receivers = &self.edges.receivers.host.group_of;
        receivers[tile.start] as usize..receivers[tile.end - 1] as usize + 1
    }
}
