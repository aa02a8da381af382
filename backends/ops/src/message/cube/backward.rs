//! Backward, tile by tile: the tile is computed again, then its gradients.

use std::ops::Range;

use burn::tensor::Tensor;
use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;

use super::forward::rowwise;
use super::sums::{Sums, add, column_sums};
use super::{Device, Rows, kernels};
use crate::cube::products::{matmul, matmul_over_rows};
use crate::cube::sum::add_groups;
use crate::cube::{Cube, addresses, buffer, elementwise, empty, owned};
use crate::message::scratch::BLOCK;
use crate::message::{GateInputs, MessageGradients, MessageInputs, MessageOutputs, Wanted};
use crate::primitive::tensor;

/// Gradients of the inputs.
pub(super) fn message_backward<R: CubeRuntime, BT: BoolElement>(
    device: &Device<'_, R, BT>,
    inputs: &MessageInputs<Cube<R, BT>>,
    outputs: MessageOutputs<Cube<R, BT>>,
    wanted: Wanted,
) -> MessageGradients<Cube<R, BT>> {
    let to_sums = buffer(outputs.gathered);
    let to_gates = outputs.gates.map(buffer);
    let to_receiver = owned(buffer(inputs.receiver.zeros_like()));
    let to_sender = owned(buffer(inputs.sender.zeros_like()));
    let to_envelope =
        inputs.envelope.as_ref().filter(|_| wanted.geometry).map(|_| empty(&device.receiver, [device.count, 1]));
    let mut sums = Sums::default();
    let mut features = Vec::new();
    for tile in device.tiles(1) {
        let u1 = device.first(&tile);
        let a2 = buffer(matmul(u1.clone(), inputs.weight.clone()));
        let enveloped = inputs.envelope.is_some();
        let through_gate = match (&inputs.gate, &to_gates) {
            (Some(gate), Some(to_gates)) => {
                let (found, through) = device.gate_backward(&tile, gate, &a2, enveloped, to_gates, wanted);
                sums.add_gate(found);
                Some(through)
            }
            _ => None,
        };
        if let Some(to_envelope) = &to_envelope {
            device.envelope_backward(&tile, &a2, &to_sums, through_gate.as_ref(), to_envelope);
        }
        let (to_a2, to_bias) = device.second_backward(&tile, a2, &to_sums, through_gate, enveloped, wanted);
        if wanted.weights {
            add(&mut sums.bias, column_sums(to_bias));
            add(&mut sums.weight, matmul_over_rows(u1, to_a2.clone()));
        }
        let to_u1 = buffer(matmul(to_a2, inputs.weight.clone().transpose()));
        device.first_backward(&tile, &to_u1);
        let (receivers, senders) = (&device.edges.receivers, &device.edges.senders);
        add_groups(receivers, &to_u1, 0, &tile, &device.receivers_of(&tile), &to_receiver);
        add_groups(senders, &to_u1, 0, &tile, &(0..device.nodes), &to_sender);
        let to_a1 = tensor::<Cube<R, BT>, 2>(to_u1);
        if wanted.weights {
            let own = inputs.features.clone().slice([tile]);
            add(&mut sums.edge_weight, matmul_over_rows(own, to_a1.clone()));
        }
        if wanted.geometry {
            features.push(matmul(to_a1, inputs.edge_weight.clone().transpose()));
        }
    }
    MessageGradients {
        receiver: tensor(to_receiver),
        sender: tensor(to_sender),
        features: wanted.geometry.then(|| Tensor::cat(features, 0)),
        envelope: to_envelope.map(tensor),
        weights: wanted.weights.then(|| sums.into_gradients(inputs)),
    }
}

impl<R: CubeRuntime, BT: BoolElement> Device<'_, R, BT> {
    /// A buffer for the sums of blocks of rows, which weights have gradients of; else one that no kernel writes to.
    pub(super) fn block_sums(&self, blocks: usize, wanted: Wanted) -> CubeTensor<R> {
        empty(&self.receiver, [if wanted.weights { blocks } else { 1 }, self.width])
    }

    /// Gradients of the gate's weights where they are wanted, and `a3' W_3^T`, from `a2` before its bias.
    fn gate_backward(
        &self,
        tile: &Range<usize>,
        gate: &GateInputs<Cube<R, BT>>,
        a2: &CubeTensor<R>,
        enveloped: bool,
        to_gates: &CubeTensor<R>,
        wanted: Wanted,
    ) -> (Option<GateInputs<Cube<R, BT>>>, CubeTensor<R>) {
        let message: Rows<R, BT> = tensor(self.messages(tile, a2, enveloped));
        let a3 = owned(buffer(matmul(message.clone(), gate.weight.clone())));
        let blocks = tile.len().div_ceil(BLOCK);
        let [to_bias, to_readout] = [(); 2].map(|()| self.block_sums(blocks, wanted));
        let units = blocks * self.columns();
        let (count, dim) = elementwise(&self.client, units);
        // SAFETY: units beyond the blocks stop, and each stays within the rows of the tile.
        unsafe {
            kernels::gate_backward::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                addresses(&[&a3]),
                self.vector(),
                a3.clone().into_array_arg(),
                buffer(gate.bias.clone()).into_array_arg(),
                buffer(gate.readout.clone()).into_array_arg(),
                to_gates.clone().into_array_arg(),
                to_bias.clone().into_array_arg(),
                to_readout.clone().into_array_arg(),
                tile.start,
                tile.len(),
                units,
                self.columns(),
                wanted.weights,
            );
        }
        let to_a3 = tensor::<Cube<R, BT>, 2>(a3);
        let gradients = wanted.weights.then(|| GateInputs {
            weight: matmul_over_rows(message, to_a3.clone()),
            bias: column_sums(to_bias),
            readout: column_sums::<R, BT>(to_readout).unsqueeze_dim(1),
        });
        (gradients, buffer(matmul(to_a3, gate.weight.clone().transpose())))
    }

    fn envelope_backward(
        &self,
        tile: &Range<usize>,
        a2: &CubeTensor<R>,
        to_sums: &CubeTensor<R>,
        through_gate: Option<&CubeTensor<R>>,
        to_envelope: &CubeTensor<R>,
    ) {
        let (count, dim) = rowwise(&self.client, tile.len());
        // SAFETY: rows beyond the tile read and write nothing.
        unsafe {
            kernels::envelope_backward::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                addresses(&[a2, to_sums]),
                a2.clone().into_array_arg(),
                self.bias.clone().into_array_arg(),
                to_sums.clone().into_array_arg(),
                through_gate.unwrap_or(to_sums).clone().into_array_arg(),
                self.receivers.clone().into_array_arg(),
                to_envelope.clone().into_array_arg(),
                tile.start,
                tile.len(),
                self.width,
                through_gate.is_some(),
            );
        }
    }

    /// The gradient of `a2`, in its buffer, and its sums over blocks of rows.
    fn second_backward(
        &self,
        tile: &Range<usize>,
        a2: CubeTensor<R>,
        to_sums: &CubeTensor<R>,
        through_gate: Option<CubeTensor<R>>,
        enveloped: bool,
        wanted: Wanted,
    ) -> (Rows<R, BT>, CubeTensor<R>) {
        let blocks = tile.len().div_ceil(BLOCK);
        let to_bias = self.block_sums(blocks, wanted);
        let units = blocks * self.columns();
        let (count, dim) = elementwise(&self.client, units);
        let gated = through_gate.is_some();
        // SAFETY: units beyond the blocks stop, and each stays within the rows of the tile.
        unsafe {
            kernels::second_backward::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                addresses(&[&a2, to_sums]),
                self.vector(),
                a2.clone().into_array_arg(),
                self.bias.clone().into_array_arg(),
                self.envelope.clone().into_array_arg(),
                to_sums.clone().into_array_arg(),
                through_gate.unwrap_or_else(|| to_sums.clone()).into_array_arg(),
                self.receivers.clone().into_array_arg(),
                to_bias.clone().into_array_arg(),
                tile.start,
                tile.len(),
                units,
                self.columns(),
                enveloped,
                gated,
                wanted.weights,
            );
        }
        (tensor(a2), to_bias)
    }

    /// Makes the gradient of `a1` of that of `u1`.
    fn first_backward(&self, tile: &Range<usize>, to_first: &CubeTensor<R>) {
        let units = tile.len() * self.columns();
        let (count, dim) = elementwise(&self.client, units);
        // SAFETY: units beyond the tile stop; edges, nodes and columns are within their buffers.
        unsafe {
            kernels::first_backward::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                addresses(&[to_first, &self.receiver, &self.features]),
                self.vector(),
                self.receiver.clone().into_array_arg(),
                self.sender.clone().into_array_arg(),
                self.features.clone().into_array_arg(),
                self.edge_weight.clone().into_array_arg(),
                self.receivers.clone().into_array_arg(),
                self.senders.clone().into_array_arg(),
                to_first.clone().into_array_arg(),
                tile.start,
                units,
                self.columns(),
                self.basis,
            );
        }
    }
}
