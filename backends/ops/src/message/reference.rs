//! The operation in plain tensor operations: the definition that every fused version is held against,
//! and what backends without one use. Holds several `[E, F]` tensors.

mod dual;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

pub use dual::{message_dual, message_dual_backward};

use super::{EdgeIndex, GateInputs, MessageGradients, MessageInputs, MessageOutputs, Wanted, WeightGradients, sizes};
use crate::kernels::KernelBackend;
use crate::kernels::reference::{gather, silu, silu_slope, sum_groups};

fn column_sums<B: Backend>(values: Tensor<B, 2>) -> Tensor<B, 1> {
    values.sum_dim(0).squeeze_dim(0)
}

/// `a1`, `a2` and the messages `m`, each `[E, F]`.
fn hidden<B: KernelBackend>(edges: &EdgeIndex<B>, inputs: &MessageInputs<B>) -> [Tensor<B, 2>; 3] {
    let a1 = gather(&edges.receivers, inputs.receiver.clone())
        + gather(&edges.senders, inputs.sender.clone())
        + B::matmul(inputs.features.clone(), inputs.edge_weight.clone());
    let a2 = B::matmul(silu(a1.clone()), inputs.weight.clone()) + inputs.bias.clone().unsqueeze();
    let messages = match &inputs.envelope {
        Some(envelope) => silu(a2.clone()) * envelope.clone(),
        None => silu(a2.clone()),
    };
    [a1, a2, messages]
}

fn gate_hidden<B: KernelBackend>(gate: &GateInputs<B>, messages: Tensor<B, 2>) -> Tensor<B, 2> {
    B::matmul(messages, gate.weight.clone()) + gate.bias.clone().unsqueeze()
}

/// See [`MessageBackend::message`](super::MessageBackend::message).
pub fn message<B: KernelBackend>(edges: &EdgeIndex<B>, inputs: &MessageInputs<B>) -> MessageOutputs<B> {
    let [_, count, ..] = sizes(edges, inputs);
    if count == 0 {
        return nothing(inputs);
    }
    let [_, _, messages] = hidden(edges, inputs);
    let gates = inputs.gate.as_ref().map(|gate| {
        let a3 = gate_hidden(gate, messages.clone());
        B::matmul(silu(a3), gate.readout.clone())
    });
    MessageOutputs { gathered: sum_groups(&edges.receivers, messages), gates }
}

/// See [`MessageBackend::message_backward`](super::MessageBackend::message_backward).
pub fn message_backward<B: KernelBackend>(
    edges: &EdgeIndex<B>,
    inputs: &MessageInputs<B>,
    outputs: MessageOutputs<B>,
    wanted: Wanted,
) -> MessageGradients<B> {
    let [_, count, ..] = sizes(edges, inputs);
    if count == 0 {
        return zeros(inputs, wanted);
    }
    let [a1, a2, messages] = hidden(edges, inputs);
    let mut to_messages = gather(&edges.receivers, outputs.gathered);
    let gate = inputs.gate.as_ref().zip(outputs.gates).and_then(|(gate, to_gates)| {
        let a3 = gate_hidden(gate, messages.clone());
        let to_a3 = B::matmul(to_gates.clone(), gate.readout.clone().transpose()) * silu_slope(a3.clone());
        to_messages = to_messages.clone() + B::matmul(to_a3.clone(), gate.weight.clone().transpose());
        wanted.weights.then(|| GateInputs {
            weight: B::matmul_over_rows(messages.clone(), to_a3.clone()),
            bias: column_sums(to_a3),
            readout: B::matmul_over_rows(silu(a3), to_gates),
        })
    });
    let envelope = inputs
        .envelope
        .as_ref()
        .filter(|_| wanted.geometry)
        .map(|_| (to_messages.clone() * silu(a2.clone())).sum_dim(1));
    let to_silu = match &inputs.envelope {
        Some(envelope) => to_messages * envelope.clone(),
        None => to_messages,
    };
    let to_a2 = to_silu * silu_slope(a2);
    let to_a1 = B::matmul(to_a2.clone(), inputs.weight.clone().transpose()) * silu_slope(a1.clone());
    MessageGradients {
        receiver: sum_groups(&edges.receivers, to_a1.clone()),
        sender: sum_groups(&edges.senders, to_a1.clone()),
        features: wanted.geometry.then(|| B::matmul(to_a1.clone(), inputs.edge_weight.clone().transpose())),
        envelope,
        weights: wanted.weights.then(|| WeightGradients {
            edge_weight: B::matmul_over_rows(inputs.features.clone(), to_a1),
            weight: B::matmul_over_rows(silu(a1), to_a2.clone()),
            bias: column_sums(to_a2),
            gate,
        }),
    }
}

/// Zeros of the shape of another tensor. CUDA launches nothing that has no units.
fn zeros_like<B: Backend, const D: usize>(like: &Tensor<B, D>) -> Tensor<B, D> {
    if like.shape().num_elements() == 0 { like.clone() } else { like.zeros_like() }
}

/// Outputs where there are no edges.
fn nothing<B: Backend>(inputs: &MessageInputs<B>) -> MessageOutputs<B> {
    let gates = inputs.gate.as_ref().map(|_| Tensor::empty([0, 1], &inputs.receiver.device()));
    MessageOutputs { gathered: zeros_like(&inputs.receiver), gates }
}

/// Gradients where there are no edges.
fn zeros<B: Backend>(inputs: &MessageInputs<B>, wanted: Wanted) -> MessageGradients<B> {
    MessageGradients {
        receiver: zeros_like(&inputs.receiver),
        sender: zeros_like(&inputs.sender),
        features: wanted.geometry.then(|| inputs.features.clone()),
        envelope: inputs.envelope.clone().filter(|_| wanted.geometry),
        weights: wanted.weights.then(|| WeightGradients {
            edge_weight: zeros_like(&inputs.edge_weight),
            weight: zeros_like(&inputs.weight),
            bias: zeros_like(&inputs.bias),
            gate: inputs.gate.as_ref().map(|gate| GateInputs {
                weight: zeros_like(&gate.weight),
                bias: zeros_like(&gate.bias),
                readout: zeros_like(&gate.readout),
            }),
        }),
    }
}
