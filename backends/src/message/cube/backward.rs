//! Backward, tile by tile: the tile is computed again, then its gradients.

use std::ops::Range;

use burn::tensor::Tensor;
use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;

use super::forward::rowwise;
use super::{Device, Rows, kernels};
use crate::cube::products::{matmul, matmul_over_rows};
use crate::cube::sum::add_groups;
use crate::cube::{Cube, addresses, buffer, elementwise, empty, owned};
use crate::message::{GateInputs, MessageGradients, MessageInputs, MessageOutputs};
use crate::primitive::tensor;

/// Gradients of the gate's weights so far.
type GateSums<R, BT> = Option<GateInputs<Cube<R, BT>>>;

/// Gradients of the inputs.
pub(super) fn message_backward<R: CubeRuntime, BT: BoolElement>(
    device: &Device<'_, R, BT>,
    inputs: &MessageInputs<Cube<R, BT>>,
    outputs: MessageOutputs<Cube<R, BT>>,
    geometry: bool,
) -> MessageGradients<Cube<R, BT>> {
    let to_sums = buffer(outputs.gathered);
    let to_gates = outputs.gates.map(buffer);
    let to_receiver = owned(buffer(inputs.receiver.zeros_like()));
    let to_sender = owned(buffer(inputs.sender.zeros_like()));
    let to_envelope = inputs.envelope.as_ref().filter(|_| geometry).map(|_| empty(&device.receiver, [device.count, 1]));
    let (mut weight, mut bias, mut edge_weight) = (None, None, None);
    let mut gate_sums: GateSums<R, BT> = None;
    let mut features = Vec::new();
    for tile in device.tiles() {
        let u1 = device.first(&tile);
        let a2 = buffer(matmul(u1.clone(), inputs.weight.clone()));
        let enveloped = inputs.envelope.is_some();
        let through_gate = match (&inputs.gate, &to_gates) {
            (Some(gate), Some(to_gates)) => {
                let (found, through) = device.gate_backward(&tile, gate, &a2, enveloped, to_gates);
                gate_sums = Some(match gate_sums {
                    Some(sums) => GateInputs {
                        weight: sums.weight + found.weight,
                        bias: sums.bias + found.bias,
                        readout: sums.readout + found.readout,
                    },
                    None => found,
                });
                Some(through)
            }
            _ => None,
        };
        if let Some(to_envelope) = &to_envelope {
            device.envelope_backward(&tile, &a2, &to_sums, through_gate.as_ref(), to_envelope);
        }
        let (to_a2, to_bias) = device.second_backward(&tile, a2, &to_sums, through_gate, enveloped);
        bias = add(bias, to_bias);
        weight = add(weight, matmul_over_rows(u1, to_a2.clone()));
        let to_u1 = buffer(matmul(to_a2, inputs.weight.clone().transpose()));
        device.first_backward(&tile, &to_u1);
        let (receivers, senders) = (&device.edges.receivers, &device.edges.senders);
        add_groups(receivers, &to_u1, &tile, &device.receivers_of(&tile), &to_receiver);
        add_groups(senders, &to_u1, &tile, &(0..device.nodes), &to_sender);
        let to_a1 = tensor::<Cube<R, BT>, 2>(to_u1);
        let own = inputs.features.clone().slice([tile]);
        edge_weight = add(edge_weight, matmul_over_rows(own, to_a1.clone()));
        if geometry {
            features.push(matmul(to_a1, inputs.edge_weight.clone().transpose()));
        }
    }
    let zeros = || inputs.weight.zeros_like();
    MessageGradients {
        receiver: tensor(to_receiver),
        sender: tensor(to_sender),
        features: geometry.then(|| Tensor::cat(features, 0)),
        envelope: to_envelope.map(tensor),
        edge_weight: edge_weight.unwrap_or_else(|| inputs.edge_weight.zeros_like()),
        weight: weight.unwrap_or_else(zeros),
        bias: bias.unwrap_or_else(|| inputs.bias.zeros_like()),
        gate: gate_sums,
    }
}

impl<R: CubeRuntime, BT: BoolElement> Device<'_, R, BT> {
    /// Gradients of the gate's weights, and `a3' W_3^T`, from `a2` before its bias.
    fn gate_backward(
        &self,
        tile: &Range<usize>,
        gate: &GateInputs<Cube<R, BT>>,
        a2: &CubeTensor<R>,
        enveloped: bool,
        to_gates: &CubeTensor<R>,
    ) -> (GateInputs<Cube<R, BT>>, CubeTensor<R>) {
        let message: Rows<R, BT> = tensor(self.messages(tile, a2, enveloped));
        let a3 = owned(buffer(matmul(message.clone(), gate.weight.clone())));
        let blocks = tile.len().div_ceil(kernels::BLOCK);
        let [to_bias, to_readout] = [(); 2].map(|()| empty(&a3, [blocks, self.width]));
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
            );
        }
        let to_a3 = tensor::<Cube<R, BT>, 2>(a3);
        let gradients = GateInputs {
            weight: matmul_over_rows(message, to_a3.clone()),
            bias: column_sums(to_bias),
            readout: column_sums::<R, BT>(to_readout).unsqueeze_dim(1),
        };
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

    /// The gradients of `a2`, in its buffer, and of `b_2`.
    fn second_backward(
        &self,
        tile: &Range<usize>,
        a2: CubeTensor<R>,
        to_sums: &CubeTensor<R>,
        through_gate: Option<CubeTensor<R>>,
        enveloped: bool,
    ) -> (Rows<R, BT>, Tensor<Cube<R, BT>, 1>) {
        let blocks = tile.len().div_ceil(kernels::BLOCK);
        let to_bias = empty(&a2, [blocks, self.width]);
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
            );
        }
        (tensor(a2), column_sums(to_bias))
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

/// The sum over all rows, `[F]`.
fn column_sums<R: CubeRuntime, BT: BoolElement>(rows: CubeTensor<R>) -> Tensor<Cube<R, BT>, 1> {
    tensor::<Cube<R, BT>, 2>(rows).sum_dim(0).squeeze_dim(0)
}

/// The sum so far with one more part; the part where there is no sum yet.
fn add<R: CubeRuntime, BT: BoolElement, const D: usize>(
    sum: Option<Tensor<Cube<R, BT>, D>>,
    part: Tensor<Cube<R, BT>, D>,
) -> Option<Tensor<Cube<R, BT>, D>> {
    Some(match sum {
        Some(sum) => sum + part,
        None => part,
    })
}
