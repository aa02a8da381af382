//! What the operation on values and tangents reads and returns.
//!
//! With a step `t` in all inputs but the weights, `P + t P'` and so on, outputs change by `t` times their
//! tangents. Per edge, in the names of [`message`](crate::message) and with `a1`, `a2`, `a3` for what SiLU is taken of:
//!
//! ```text
//! a1' = P'[i] + Q'[j] + G'[e] W_g     a2' = (silu'(a1) a1') W_2     m' = w silu'(a2) a2' + w' silu(a2)
//! a3' = m' W_3                        agg'[i] += m'                 s'[e] = (silu'(a3) a3') . w_4
//! ```
//!
//! Gradients of the tangents of outputs make second derivatives: of forces, which are first derivatives of the
//! energy, with respect to weights.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::{MessageGradients, MessageInputs, MessageOutputs, sizes};
use crate::index::EdgeIndex;

/// Tangents of [`MessageInputs`], or their gradients; weights have none.
#[derive(Debug, Clone)]
pub struct MessageTangents<B: Backend> {
    /// `P' [N, F]`.
    pub receiver: Tensor<B, 2>,
    /// `Q' [N, F]`.
    pub sender: Tensor<B, 2>,
    /// `G' [E, K]`; zero where there is none.
    pub features: Option<Tensor<B, 2>>,
    /// `w' [E, 1]`; zero where there is none. Only with an envelope.
    pub envelope: Option<Tensor<B, 2>>,
}

/// Values and tangents that the operation reads.
#[derive(Debug, Clone)]
pub struct DualInputs<B: Backend> {
    /// The values, and the weights.
    pub primal: MessageInputs<B>,
    /// Their tangents.
    pub tangent: MessageTangents<B>,
}

/// Values and tangents that it returns, or their gradients.
#[derive(Debug, Clone)]
pub struct DualOutputs<B: Backend> {
    /// `agg [N, F]` and `s [E, 1]`.
    pub primal: MessageOutputs<B>,
    /// `agg' [N, F]` and `s' [E, 1]`.
    pub tangent: MessageOutputs<B>,
}

/// Gradients of [`DualInputs`].
#[derive(Debug, Clone)]
pub struct DualGradients<B: Backend> {
    /// Of the values, and of the weights.
    pub primal: MessageGradients<B>,
    /// Of the tangents: of those of features and envelope where geometry is wanted and they are there.
    pub tangent: MessageTangents<B>,
}

/// N, E, K and F of the inputs.
///
/// # Panics
/// If shapes do not fit each other; the message names the input.
pub(super) fn dual_sizes<B: Backend>(edges: &EdgeIndex<B>, inputs: &DualInputs<B>) -> [usize; 4] {
    let DualInputs { primal, tangent } = inputs;
    let found = sizes(edges, primal);
    let check = |name: &str, found: [usize; 2], expected: [usize; 2]| {
        assert_eq!(found, expected, "message: shape of {name}, expected {expected:?}");
    };
    check("tangent.receiver", tangent.receiver.dims(), primal.receiver.dims());
    check("tangent.sender", tangent.sender.dims(), primal.sender.dims());
    if let Some(features) = &tangent.features {
        check("tangent.features", features.dims(), primal.features.dims());
    }
    if let Some(envelope) = &tangent.envelope {
        let own = primal.envelope.as_ref().map_or([0, 0], Tensor::dims);
        check("tangent.envelope", envelope.dims(), own);
    }
    found
}
