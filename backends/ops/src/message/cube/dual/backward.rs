//! Backward, tile by tile: the tile is computed again, then its gradients.

use std::ops::Range;

use burn::tensor::Tensor;
use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;

use super::{DualDevice, Factors, kernels};
use crate::cube::products::{matmul, matmul_over_rows};
use crate::cube::sum::add_groups;
use crate::cube::{Cube, addresses, buffer, elementwise, empty, owned};
use crate::message::cube::Rows;
use crate::message::cube::forward::rowwise;
use crate::message::cube::sums::{Sums, add, column_sums};
use crate::message::scratch::BLOCK;
use crate::message::{DualGradients, DualInputs, DualOutputs, GateInputs, MessageGradients, MessageTangents, Wanted};
use crate::primitive::tensor;

/// Buffers of values and of tangents.
type Pair<R> = [CubeTensor<R>; 2];

/// Gradients of the inputs.
pub(in crate::message::cube) fn message_dual_backward<R: CubeRuntime, BT: BoolElement>(
    device: &DualDevice<'_, R, BT>,
    inputs: &DualInputs<Cube<R, BT>>,
    outputs: DualOutputs<Cube<R, BT>>,
    wanted: Wanted,
) -> DualGradients<Cube<R, BT>> {
    let (primal, weights) = (&device.primal, &inputs.primal);
    let DualOutputs { primal: to_values, tangent: to_tangents } = outputs;
    let to_sums = [to_values.gathered, to_tangents.gathered].map(buffer);
    let to_gates = to_values.gates.zip(to_tangents.gates).map(|(value, tangent)| [value, tangent].map(buffer));
    let [to_receivers, to_senders] =
        [&weights.receiver, &weights.sender].map(|like| [(); 2].map(|()| owned(buffer::<R, BT, 2>(like.zeros_like()))));
    let to_envelopes = (wanted.geometry && device.factors.enveloped)
        .then(|| [(); 2].map(|()| empty(&primal.receiver, [primal.count, 1])));
    let mut sums = Sums::default();
    let mut features = [Vec::new(), Vec::new()];
    for tile in device.tiles() {
        let u1 = device.first(&tile);
        let a2 = buffer(matmul(u1.clone(), weights.weight.clone()));
        let through_gate = match (&weights.gate, &to_gates) {
            (Some(gate), Some(to_gates)) => {
                let (found, through) = device.gate_backward(&tile, gate, &a2, to_gates, wanted);
                sums.add_gate(found);
                Some(through)
            }
            _ => None,
        };
        if let Some(to_envelopes) = &to_envelopes {
            device.envelope_backward(&tile, &a2, &to_sums, through_gate.as_ref(), to_envelopes);
        }
        let (to_a2, to_bias) = device.second_backward(&tile, a2, &to_sums, through_gate, wanted);
        if wanted.weights {
            add(&mut sums.bias, column_sums(to_bias));
            add(&mut sums.weight, matmul_over_rows(u1, to_a2.clone()));
        }
        let to_u1 = buffer(matmul(to_a2, weights.weight.clone().transpose()));
        device.first_backward(&tile, &to_u1);
        let (receivers, senders) = (&primal.edges.receivers, &primal.edges.senders);
        for part in 0..2 {
            let first = part * tile.len();
            add_groups(receivers, &to_u1, first, &tile, &primal.receivers_of(&tile), &to_receivers[part]);
            add_groups(senders, &to_u1, first, &tile, &(0..primal.nodes), &to_senders[part]);
        }
        features_backward(inputs, &tile, tensor(to_u1), wanted, &mut sums, &mut features);
    }
    let [receiver, receiver_moved] = to_receivers.map(tensor);
    let [sender, sender_moved] = to_senders.map(tensor);
    let [features, features_moved] = features.map(|parts| (!parts.is_empty()).then(|| Tensor::cat(parts, 0)));
    let [envelope, envelope_moved] = to_envelopes.map_or([None, None], |pair| pair.map(|found| Some(tensor(found))));
    DualGradients {
        primal: MessageGradients {
            receiver,
            sender,
            features,
            envelope,
            weights: wanted.weights.then(|| sums.into_gradients(weights)),
        },
        tangent: MessageTangents {
            receiver: receiver_moved,
            sender: sender_moved,
            features: features_moved,
            envelope: envelope_moved.filter(|_| device.factors.fading),
        },
    }
}

/// Gradients of `W_g`, and of `G` and its tangents, from that of `a1 [2 tile, F]`.
fn features_backward<R: CubeRuntime, BT: BoolElement>(
    inputs: &DualInputs<Cube<R, BT>>,
    tile: &Range<usize>,
    to_a1: Rows<R, BT>,
    wanted: Wanted,
    sums: &mut Sums<R, BT>,
    features: &mut [Vec<Rows<R, BT>>; 2],
) {
    let (values, tangents) = (0..tile.len(), tile.len()..2 * tile.len());
    let moved = inputs.tangent.features.as_ref();
    // Rows of tangents have no part in this where features have none.
    let to_a1 = if moved.is_some() { to_a1 } else { to_a1.slice([values.clone()]) };
    if wanted.weights {
        let own = inputs.primal.features.clone().slice([tile.clone()]);
        let own = match moved {
            Some(moved) => Tensor::cat(vec![own, moved.clone().slice([tile.clone()])], 0),
            None => own,
        };
        add(&mut sums.edge_weight, matmul_over_rows(own, to_a1.clone()));
    }
    if wanted.geometry {
        let found = matmul(to_a1, inputs.primal.edge_weight.clone().transpose());
        if moved.is_some() {
            features[1].push(found.clone().slice([tangents]));
        }
        features[0].push(found.slice([values]));
    }
}

impl<R: CubeRuntime, BT: BoolElement> DualDevice<'_, R, BT> {
    /// Gradients of the gate's weights where they are wanted, and `a3' W_3^T [2 tile, F]`, from `a2` before its bias.
    fn gate_backward(
        &self,
        tile: &Range<usize>,
        gate: &GateInputs<Cube<R, BT>>,
        a2: &CubeTensor<R>,
        [to_gates, to_moved_gates]: &Pair<R>,
        wanted: Wanted,
    ) -> (Option<GateInputs<Cube<R, BT>>>, CubeTensor<R>) {
        let primal = &self.primal;
        let message: Rows<R, BT> = tensor(self.messages(tile, a2));
        let a3 = owned(buffer(matmul(message.clone(), gate.weight.clone())));
        let blocks = tile.len().div_ceil(BLOCK);
        let [to_bias, to_readout] = [(); 2].map(|()| primal.block_sums(blocks, wanted));
        let units = blocks * primal.columns();
        let (count, dim) = elementwise(&primal.client, units);
        // SAFETY: units beyond the blocks stop, and each stays within the rows of the tile.
        unsafe {
            kernels::gate_backward::launch_unchecked::<R>(
                &primal.client,
                count,
                dim,
                addresses(&[&a3]),
                primal.vector(),
                a3.clone().into_array_arg(),
                buffer(gate.bias.clone()).into_array_arg(),
                buffer(gate.readout.clone()).into_array_arg(),
                to_gates.clone().into_array_arg(),
                to_moved_gates.clone().into_array_arg(),
                to_bias.clone().into_array_arg(),
                to_readout.clone().into_array_arg(),
                tile.start,
                tile.len(),
                units,
                primal.columns(),
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
        [to_sums, to_moved_sums]: &Pair<R>,
        through_gate: Option<&CubeTensor<R>>,
        [to_envelope, to_moved_envelope]: &Pair<R>,
    ) {
        let primal = &self.primal;
        let (count, dim) = rowwise(&primal.client, tile.len());
        // SAFETY: rows beyond the tile read and write nothing.
        unsafe {
            kernels::envelope_backward::launch_unchecked::<R>(
                &primal.client,
                count,
                dim,
                addresses(&[a2, to_sums]),
                a2.clone().into_array_arg(),
                primal.bias.clone().into_array_arg(),
                to_sums.clone().into_array_arg(),
                to_moved_sums.clone().into_array_arg(),
                through_gate.unwrap_or(to_sums).clone().into_array_arg(),
                primal.receivers.clone().into_array_arg(),
                to_envelope.clone().into_array_arg(),
                to_moved_envelope.clone().into_array_arg(),
                tile.start,
                tile.len(),
                primal.width,
                through_gate.is_some(),
                self.factors.fading,
            );
        }
    }

    /// The gradients of `a2` and its tangents, in their buffer, and the sums of the first over blocks of rows.
    fn second_backward(
        &self,
        tile: &Range<usize>,
        a2: CubeTensor<R>,
        [to_sums, to_moved_sums]: &Pair<R>,
        through_gate: Option<CubeTensor<R>>,
        wanted: Wanted,
    ) -> (Rows<R, BT>, CubeTensor<R>) {
        let primal = &self.primal;
        let blocks = tile.len().div_ceil(BLOCK);
        let to_bias = primal.block_sums(blocks, wanted);
        let units = blocks * primal.columns();
        let (count, dim) = elementwise(&primal.client, units);
        let Factors { enveloped, fading, .. } = self.factors;
        let gated = through_gate.is_some();
        // SAFETY: units beyond the blocks stop, and each stays within the rows of the tile.
        unsafe {
            kernels::second_backward::launch_unchecked::<R>(
                &primal.client,
                count,
                dim,
                addresses(&[&a2, to_sums]),
                primal.vector(),
                a2.clone().into_array_arg(),
                primal.bias.clone().into_array_arg(),
                primal.envelope.clone().into_array_arg(),
                self.envelope.clone().into_array_arg(),
                to_sums.clone().into_array_arg(),
                to_moved_sums.clone().into_array_arg(),
                through_gate.unwrap_or_else(|| to_sums.clone()).into_array_arg(),
                primal.receivers.clone().into_array_arg(),
                to_bias.clone().into_array_arg(),
                tile.start,
                tile.len(),
                units,
                primal.columns(),
                enveloped,
                fading,
                gated,
                wanted.weights,
            );
        }
        (tensor(a2), to_bias)
    }

    /// Makes the gradients of `a1` and its tangents of those of `u1` and its tangents.
    fn first_backward(&self, tile: &Range<usize>, to_first: &CubeTensor<R>) {
        let primal = &self.primal;
        let units = tile.len() * primal.columns();
        let (count, dim) = elementwise(&primal.client, units);
        // SAFETY: units beyond the tile stop; edges, nodes and columns are within their buffers.
        unsafe {
            kernels::first_backward::launch_unchecked::<R>(
                &primal.client,
                count,
                dim,
                addresses(&[to_first, &primal.receiver, &primal.features]),
                primal.vector(),
                primal.receiver.clone().into_array_arg(),
                primal.sender.clone().into_array_arg(),
                primal.features.clone().into_array_arg(),
                self.receiver.clone().into_array_arg(),
                self.sender.clone().into_array_arg(),
                self.features.clone().into_array_arg(),
                primal.edge_weight.clone().into_array_arg(),
                primal.receivers.clone().into_array_arg(),
                primal.senders.clone().into_array_arg(),
                to_first.clone().into_array_arg(),
                tile.start,
                units,
                primal.columns(),
                primal.basis,
                self.factors.featured,
            );
        }
    }
}
