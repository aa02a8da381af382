//! The operation on values and tangents, and its gradients, in plain tensor operations. A pair is a value and its
//! tangent, or the gradients of both.

use burn::tensor::Tensor;

use super::{column_sums, nothing, zeros, zeros_like};
use crate::index::EdgeIndex;
use crate::kernels::KernelBackend;
use crate::kernels::reference::{gather, silu, silu_curvature, silu_slope, sum_groups};
use crate::message::dual::dual_sizes;
use crate::message::{
    DualGradients, DualInputs, DualOutputs, GateInputs, MessageGradients, MessageOutputs, MessageTangents, Wanted,
    WeightGradients,
};

type Pair<B> = [Tensor<B, 2>; 2];

fn sum<B: KernelBackend>([a, b]: Pair<B>, [c, d]: Pair<B>) -> Pair<B> {
    [a + c, b + d]
}

/// `a b`, where b has no tangent.
fn product<B: KernelBackend>(a: Pair<B>, b: &Tensor<B, 2>) -> Pair<B> {
    a.map(|a| B::matmul(a, b.clone()))
}

/// The gradient of b in `a b`, from that of the product.
fn product_over_rows<B: KernelBackend>([a, t]: Pair<B>, [to_value, to_tangent]: Pair<B>) -> Tensor<B, 2> {
    B::matmul_over_rows(a, to_value) + B::matmul_over_rows(t, to_tangent)
}

/// `silu(x)`, with the tangent `silu'(x) x'`.
fn silu_pair<B: KernelBackend>([x, t]: Pair<B>) -> Pair<B> {
    [silu(x.clone()), silu_slope(x) * t]
}

/// The gradients of `x` and `x'` from those of `silu(x)` and `silu'(x) x'`.
fn silu_pair_backward<B: KernelBackend>([x, t]: Pair<B>, [to_value, to_tangent]: Pair<B>) -> Pair<B> {
    let slope = silu_slope(x.clone());
    [to_value * slope.clone() + to_tangent.clone() * silu_curvature(x) * t, to_tangent * slope]
}

fn split<B: KernelBackend>(pair: Option<Pair<B>>) -> [Option<Tensor<B, 2>>; 2] {
    pair.map_or([None, None], |pair| pair.map(Some))
}

/// `a1` and `a2`, each `[E, F]`.
fn hidden<B: KernelBackend>(edges: &EdgeIndex<B>, inputs: &DualInputs<B>) -> [Pair<B>; 2] {
    let DualInputs { primal, tangent } = inputs;
    let of_nodes = |receiver: &Tensor<B, 2>, sender: &Tensor<B, 2>| {
        gather(&edges.receivers, receiver.clone()) + gather(&edges.senders, sender.clone())
    };
    let of_edges = |features: &Tensor<B, 2>| B::matmul(features.clone(), primal.edge_weight.clone());
    let value = of_nodes(&primal.receiver, &primal.sender) + of_edges(&primal.features);
    let change = of_nodes(&tangent.receiver, &tangent.sender);
    let change = match &tangent.features {
        Some(features) => change + of_edges(features),
        None => change,
    };
    let a1 = [value, change];
    let [value, change] = product(silu_pair(a1.clone()), &primal.weight);
    [a1, [value + primal.bias.clone().unsqueeze(), change]]
}

/// The messages `w silu(a2)`.
fn faded<B: KernelBackend>(inputs: &DualInputs<B>, [value, change]: Pair<B>) -> Pair<B> {
    let Some(envelope) = &inputs.primal.envelope else { return [value, change] };
    let change = change * envelope.clone();
    let change = match &inputs.tangent.envelope {
        Some(tangent) => change + value.clone() * tangent.clone(),
        None => change,
    };
    [value * envelope.clone(), change]
}

/// The gradients of `silu(a2)` from those of the messages.
fn faded_backward<B: KernelBackend>(inputs: &DualInputs<B>, [to_value, to_tangent]: Pair<B>) -> Pair<B> {
    let Some(envelope) = &inputs.primal.envelope else { return [to_value, to_tangent] };
    let to_value = to_value * envelope.clone();
    let to_value = match &inputs.tangent.envelope {
        Some(tangent) => to_value + to_tangent.clone() * tangent.clone(),
        None => to_value,
    };
    [to_value, to_tangent * envelope.clone()]
}

/// `a3`.
fn gate_hidden<B: KernelBackend>(gate: &GateInputs<B>, messages: Pair<B>) -> Pair<B> {
    let [value, change] = product(messages, &gate.weight);
    [value + gate.bias.clone().unsqueeze(), change]
}

/// See [`MessageBackend::message_dual`](crate::message::MessageBackend::message_dual).
pub fn message_dual<B: KernelBackend>(edges: &EdgeIndex<B>, inputs: &DualInputs<B>) -> DualOutputs<B> {
    let [_, count, ..] = dual_sizes(edges, inputs);
    if count == 0 {
        return DualOutputs { primal: nothing(&inputs.primal), tangent: nothing(&inputs.primal) };
    }
    let [_, a2] = hidden(edges, inputs);
    let messages = faded(inputs, silu_pair(a2));
    let gates = inputs.primal.gate.as_ref().map(|gate| {
        let a3 = gate_hidden(gate, messages.clone());
        product(silu_pair(a3), &gate.readout)
    });
    let [value, change] = split(gates);
    let [gathered, moved] = messages.map(|messages| sum_groups(&edges.receivers, messages));
    DualOutputs {
        primal: MessageOutputs { gathered, gates: value },
        tangent: MessageOutputs { gathered: moved, gates: change },
    }
}

/// See [`MessageBackend::message_dual_backward`](crate::message::MessageBackend::message_dual_backward).
pub fn message_dual_backward<B: KernelBackend>(
    edges: &EdgeIndex<B>,
    inputs: &DualInputs<B>,
    outputs: DualOutputs<B>,
    wanted: Wanted,
) -> DualGradients<B> {
    let DualInputs { primal, tangent } = inputs;
    let [_, count, ..] = dual_sizes(edges, inputs);
    if count == 0 {
        return DualGradients { primal: zeros(primal, wanted), tangent: zero_tangents(tangent, wanted) };
    }
    let [a1, a2] = hidden(edges, inputs);
    let silu2 = silu_pair(a2.clone());
    let DualOutputs { primal: to_values, tangent: to_tangents } = outputs;
    let mut to_messages = [to_values.gathered, to_tangents.gathered].map(|to_sums| gather(&edges.receivers, to_sums));
    let to_gates = to_values.gates.zip(to_tangents.gates).map(|(to_value, to_tangent)| [to_value, to_tangent]);
    let gate = primal.gate.as_ref().zip(to_gates).and_then(|(gate, to_gates)| {
        let messages = faded(inputs, silu2.clone());
        let a3 = gate_hidden(gate, messages.clone());
        let to_silu = product(to_gates.clone(), &gate.readout.clone().transpose());
        let to_a3 = silu_pair_backward(a3.clone(), to_silu);
        let through = product(to_a3.clone(), &gate.weight.clone().transpose());
        to_messages = sum(to_messages.clone(), through);
        wanted.weights.then(|| GateInputs {
            weight: product_over_rows(messages, to_a3.clone()),
            bias: column_sums(to_a3[0].clone()),
            readout: product_over_rows(silu_pair(a3), to_gates),
        })
    });
    let of_envelope = primal.envelope.as_ref().filter(|_| wanted.geometry).map(|_| {
        let dot = |a: &Tensor<B, 2>, b: &Tensor<B, 2>| (a.clone() * b.clone()).sum_dim(1);
        let ([to_value, to_tangent], [value, change]) = (&to_messages, &silu2);
        [dot(to_value, value) + dot(to_tangent, change), dot(to_tangent, value)]
    });
    let to_a2 = silu_pair_backward(a2, faded_backward(inputs, to_messages));
    let to_a1 = silu_pair_backward(a1.clone(), product(to_a2.clone(), &primal.weight.clone().transpose()));
    let of_features = wanted.geometry.then(|| product(to_a1.clone(), &primal.edge_weight.clone().transpose()));
    let over_features = || {
        let [to_value, to_tangent] = to_a1.clone();
        let found = B::matmul_over_rows(primal.features.clone(), to_value);
        match &tangent.features {
            Some(features) => found + B::matmul_over_rows(features.clone(), to_tangent),
            None => found,
        }
    };
    let weights = wanted.weights.then(|| WeightGradients {
        edge_weight: over_features(),
        weight: product_over_rows(silu_pair(a1), to_a2.clone()),
        bias: column_sums(to_a2[0].clone()),
        gate,
    });
    let [receiver, receiver_moved] = to_a1.clone().map(|rows| sum_groups(&edges.receivers, rows));
    let [sender, sender_moved] = to_a1.map(|rows| sum_groups(&edges.senders, rows));
    let [features, features_moved] = split(of_features);
    let [envelope, envelope_moved] = split(of_envelope);
    DualGradients {
        primal: MessageGradients { receiver, sender, features, envelope, weights },
        tangent: MessageTangents {
            receiver: receiver_moved,
            sender: sender_moved,
            features: features_moved.filter(|_| tangent.features.is_some()),
            envelope: envelope_moved.filter(|_| tangent.envelope.is_some()),
        },
    }
}

/// Gradients of tangents where there are no edges.
fn zero_tangents<B: KernelBackend>(tangent: &MessageTangents<B>, wanted: Wanted) -> MessageTangents<B> {
    MessageTangents {
        receiver: zeros_like(&tangent.receiver),
        sender: zeros_like(&tangent.sender),
        features: tangent.features.clone().filter(|_| wanted.geometry),
        envelope: tangent.envelope.clone().filter(|_| wanted.geometry),
    }
}
