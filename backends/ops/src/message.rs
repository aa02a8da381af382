//! The fused edge operation: all that an EGNN layer computes on edges, without ever holding an
//! `[E, F]` tensor.
//!
//! Per edge e from sender j to receiver i, with `P = h W_i`, `Q = h W_j + b_1` made by the caller:
//!
//! ```text
//! u1 = silu(P[i] + Q[j] + G[e] W_g)      m = w[e] silu(u1 W_2 + b_2)      agg[i] += m
//! s[e] = silu(m W_3 + b_3) . w_4                                          (with a gate)
//! ```
//!
//! (Satorras et al. 2021, eq. 3 and the perceptrons of eq. 4.) Forward and backward walk the edges in
//! tiles; backward computes a tile again instead of having kept it. A backend without a version of its
//! own uses the plain tensor operations of [`reference`](mod@reference), which are also what tests
//! compare with. [`DualInputs`] is where the same is computed of values and tangents.

mod autodiff;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
mod dual;
mod flex;
pub mod reference;
pub mod scratch;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

pub use dual::{DualGradients, DualInputs, DualOutputs, MessageTangents};

use crate::convolution::ConvolutionBackend;
pub use crate::gradient::Wanted;
use crate::index::EdgeIndex;

/// A scalar per edge from its message.
#[derive(Debug, Clone)]
pub struct GateInputs<B: Backend> {
    /// `W_3 [F, F]`.
    pub weight: Tensor<B, 2>,
    /// `b_3 [F]`.
    pub bias: Tensor<B, 1>,
    /// `w_4 [F, 1]`.
    pub readout: Tensor<B, 2>,
}

/// What the operation reads.
#[derive(Debug, Clone)]
pub struct MessageInputs<B: Backend> {
    /// `P [N, F]`, read by receivers.
    pub receiver: Tensor<B, 2>,
    /// `Q [N, F]`, read from senders.
    pub sender: Tensor<B, 2>,
    /// `G [E, K]`.
    pub features: Tensor<B, 2>,
    /// `w [E, 1]`; one where there is none.
    pub envelope: Option<Tensor<B, 2>>,
    /// `W_g [K, F]`.
    pub edge_weight: Tensor<B, 2>,
    /// `W_2 [F, F]`.
    pub weight: Tensor<B, 2>,
    /// `b_2 [F]`.
    pub bias: Tensor<B, 1>,
    /// The gate, where the layer has one.
    pub gate: Option<GateInputs<B>>,
}

/// Gradients of the weights of [`MessageInputs`], in their shapes.
#[derive(Debug, Clone)]
pub struct WeightGradients<B: Backend> {
    /// Of `W_g`.
    pub edge_weight: Tensor<B, 2>,
    /// Of `W_2`.
    pub weight: Tensor<B, 2>,
    /// Of `b_2`.
    pub bias: Tensor<B, 1>,
    /// Of the gate.
    pub gate: Option<GateInputs<B>>,
}

/// Gradients of [`MessageInputs`], in their shapes.
#[derive(Debug, Clone)]
pub struct MessageGradients<B: Backend> {
    /// Of `P`.
    pub receiver: Tensor<B, 2>,
    /// Of `Q`.
    pub sender: Tensor<B, 2>,
    /// Of `G`, where it is wanted.
    pub features: Option<Tensor<B, 2>>,
    /// Of `w`, where it is wanted and there is one.
    pub envelope: Option<Tensor<B, 2>>,
    /// Of the weights, where they are wanted.
    pub weights: Option<WeightGradients<B>>,
}

/// What the operation returns.
#[derive(Debug, Clone)]
pub struct MessageOutputs<B: Backend> {
    /// Sum of the messages of each receiver, `[N, F]`.
    pub gathered: Tensor<B, 2>,
    /// `s [E, 1]`, with a gate.
    pub gates: Option<Tensor<B, 2>>,
}

/// A backend that can carry the edge work of an EGNN.
pub trait MessageBackend: ConvolutionBackend {
    /// The operation.
    ///
    /// # Panics
    /// If shapes do not fit each other.
    fn message(edges: &EdgeIndex<Self>, inputs: &MessageInputs<Self>) -> MessageOutputs<Self> {
        reference::message(edges, inputs)
    }

    /// Gradients of the inputs from those of the outputs.
    ///
    /// # Panics
    /// If shapes do not fit each other.
    fn message_backward(
        edges: &EdgeIndex<Self>,
        inputs: &MessageInputs<Self>,
        outputs: MessageOutputs<Self>,
        wanted: Wanted,
    ) -> MessageGradients<Self> {
        reference::message_backward(edges, inputs, outputs, wanted)
    }

    /// The operation on values and tangents, see [`DualInputs`].
    ///
    /// # Panics
    /// If shapes do not fit each other.
    fn message_dual(edges: &EdgeIndex<Self>, inputs: &DualInputs<Self>) -> DualOutputs<Self> {
        reference::message_dual(edges, inputs)
    }

    /// Gradients of values, tangents and weights from those of all outputs.
    ///
    /// # Panics
    /// If shapes do not fit each other.
    fn message_dual_backward(
        edges: &EdgeIndex<Self>,
        inputs: &DualInputs<Self>,
        outputs: DualOutputs<Self>,
        wanted: Wanted,
    ) -> DualGradients<Self> {
        reference::message_dual_backward(edges, inputs, outputs, wanted)
    }
}

/// The reference, in either precision.
#[cfg(feature = "ndarray")]
impl MessageBackend for burn_ndarray::NdArray<f64> {}

/// N, E, K and F of the inputs.
///
/// # Panics
/// If shapes do not fit each other; the message names the input.
pub(crate) fn sizes<B: Backend>(edges: &EdgeIndex<B>, inputs: &MessageInputs<B>) -> [usize; 4] {
    let [nodes, width] = inputs.receiver.dims();
    let [count, basis] = inputs.features.dims();
    let check = |name: &str, found: &[usize], expected: &[usize]| {
        assert_eq!(found, expected, "message: shape of {name}, expected {expected:?}");
    };
    check("nodes", &[edges.nodes()], &[nodes]);
    check("sender", &inputs.sender.dims(), &[nodes, width]);
    check("features", &[count], &[edges.len()]);
    if let Some(envelope) = &inputs.envelope {
        check("envelope", &envelope.dims(), &[count, 1]);
    }
    check("edge_weight", &inputs.edge_weight.dims(), &[basis, width]);
    check("weight", &inputs.weight.dims(), &[width, width]);
    check("bias", &inputs.bias.dims(), &[width]);
    if let Some(gate) = &inputs.gate {
        check("gate.weight", &gate.weight.dims(), &[width, width]);
        check("gate.bias", &gate.bias.dims(), &[width]);
        check("gate.readout", &gate.readout.dims(), &[width, 1]);
    }
    [nodes, count, basis, width]
}
