//! Operations between rows that belong together: edges and their nodes, nodes and their graphs.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use super::Value;
use crate::index::{EdgeIndex, Grouping};
use crate::kernels::{self, KernelBackend};
use crate::message::{GateInputs, MessageBackend, MessageInputs, MessageOutputs, reference};

impl<B: KernelBackend> Value<B> {
    /// Of `[groups, C]` the row of each row's group, `[rows, C]`.
    pub fn gather(self, grouping: &Grouping<B>) -> Self {
        Self::new(B::gather(grouping, self.into_tensor()))
    }

    /// Of `[rows, C]` the sum of each group, `[groups, C]`, in the order of the rows.
    pub fn sum_groups(self, grouping: &Grouping<B>) -> Self {
        Self::new(B::sum_groups(grouping, self.into_tensor()))
    }
}

/// Shares of attention from scores of edges `[E, H]` and of each node's own features `[N, H]`: with faded edges
/// `w [E, 1]`, `w exp(s_e) / (exp(s_i) + sum of w exp(s_e) over the edges of receiver i)` for edges, and
/// `exp(s_i) / (the same)` for the node itself. Each column is a head of its own. An edge that has faded to nothing has no
/// share, and all shares change smoothly on the way.
///
/// The largest score of each node is taken off first, so that nothing overflows.
pub fn attend<B: KernelBackend>(
    receivers: &Grouping<B>,
    edges: Value<B>,
    own: Value<B>,
    fade: Option<Value<B>>,
) -> (Value<B>, Value<B>) {
    let largest = kernels::reference::max_groups(receivers, edges.tensor().clone().detach());
    let largest = Value::new(largest.max_pair(own.tensor().clone().detach()));
    let powers = (edges - largest.clone().gather(receivers)).exp();
    let powers = match fade {
        Some(fade) => powers * fade,
        None => powers,
    };
    let own = (own - largest).exp();
    let total = powers.clone().sum_groups(receivers) + own.clone();
    (powers.divided_by(total.clone().gather(receivers)), own.divided_by(total))
}

/// How the work on edges is done. The results are the same up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeWork {
    /// By the backend's own operation, which holds nothing of size `[E, F]`. Messages with attention are
    /// composed all the same.
    #[default]
    Fused,
    /// By plain tensor operations.
    Composed,
}

/// Weights of a scalar per edge, `silu(m W_3 + b_3) . w_4`.
#[derive(Debug, Clone)]
pub struct Gate<B: Backend> {
    /// `W_3 [F, F]`.
    pub weight: Tensor<B, 2>,
    /// `b_3 [F]`.
    pub bias: Tensor<B, 1>,
    /// `w_4 [F, 1]`.
    pub readout: Tensor<B, 2>,
}

/// What [`message`] reads; see [`crate::message`] for the formula.
#[derive(Debug, Clone)]
pub struct Messages<B: Backend> {
    /// `P [N, F]`, read by receivers.
    pub receiver: Value<B>,
    /// `Q [N, F]`, read from senders.
    pub sender: Value<B>,
    /// `G [E, K]`.
    pub features: Value<B>,
    /// `w [E, 1]`; one where there is none.
    pub envelope: Option<Value<B>>,
    /// `W_g [K, F]`.
    pub edge_weight: Tensor<B, 2>,
    /// `W_2 [F, F]`.
    pub weight: Tensor<B, 2>,
    /// `b_2 [F]`.
    pub bias: Tensor<B, 1>,
    /// `a [F, 1]` and `b [1]`: each message is multiplied by `sigmoid(m . a + b)`.
    pub attention: Option<(Tensor<B, 2>, Tensor<B, 1>)>,
    /// A scalar per edge.
    pub gate: Option<Gate<B>>,
}

/// Messages along edges, summed over those of each receiver `[N, F]`, and with a gate a scalar per edge `[E, 1]`.
///
/// # Panics
/// If shapes do not fit each other.
pub fn message<B: MessageBackend>(
    work: EdgeWork,
    edges: &EdgeIndex<B>,
    messages: Messages<B>,
) -> (Value<B>, Option<Value<B>>) {
    let Messages { receiver, sender, features, envelope, edge_weight, weight, bias, attention, gate } = messages;
    let inputs = MessageInputs {
        receiver: receiver.into_tensor(),
        sender: sender.into_tensor(),
        features: features.into_tensor(),
        envelope: envelope.map(Value::into_tensor),
        edge_weight,
        weight,
        bias,
        gate: gate.map(|Gate { weight, bias, readout }| GateInputs { weight, bias, readout }),
    };
    let MessageOutputs { gathered, gates } = match (attention, work) {
        (Some((weight, bias)), _) => reference::message_weighted(edges, &inputs, |messages| {
            let score = B::matmul(messages.clone(), weight) + bias.unsqueeze();
            messages * kernels::reference::sigmoid(score)
        }),
        (None, EdgeWork::Fused) => B::message(edges, &inputs),
        (None, EdgeWork::Composed) => reference::message(edges, &inputs),
    };
    (Value::new(gathered), gates.map(Value::new))
}
