//! Operations between rows that belong together: edges and their nodes, nodes and their graphs.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use super::Value;
use crate::index::{EdgeIndex, Grouping};
use crate::kernels::KernelBackend;
use crate::message::{
    DualInputs, DualOutputs, GateInputs, MessageBackend, MessageInputs, MessageOutputs, MessageTangents,
};

impl<B: KernelBackend> Value<B> {
    /// Of `[groups, C]` the row of each row's group, `[rows, C]`.
    pub fn gather(self, grouping: &Grouping<B>) -> Self {
        self.linear(|x| B::gather(grouping, x))
    }

    /// Of `[rows, C]` the sum of each group, `[groups, C]`, in the order of the rows.
    pub fn sum_groups(self, grouping: &Grouping<B>) -> Self {
        self.linear(|x| B::sum_groups(grouping, x))
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
    let largest = B::max_groups(receivers, edges.tensor().clone().detach());
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

impl<B: Backend> Messages<B> {
    /// Tangents of what depends on the geometry, as weights do not; `None` where nothing has any.
    fn tangents(&self) -> Option<MessageTangents<B>> {
        let of = |value: &Value<B>| value.tangent().cloned();
        let found = [&self.receiver, &self.sender, &self.features].map(of);
        let envelope = self.envelope.as_ref().and_then(of);
        if envelope.is_none() && found.iter().all(Option::is_none) {
            return None;
        }
        let [receiver, sender, features] = found;
        let zeros = |value: &Value<B>| value.tensor().zeros_like();
        Some(MessageTangents {
            receiver: receiver.unwrap_or_else(|| zeros(&self.receiver)),
            sender: sender.unwrap_or_else(|| zeros(&self.sender)),
            features,
            envelope,
        })
    }
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
    if messages.attention.is_some() || work == EdgeWork::Composed || edges.is_empty() {
        return composed(edges, messages);
    }
    let tangent = messages.tangents();
    let Messages { receiver, sender, features, envelope, edge_weight, weight, bias, gate, .. } = messages;
    let primal = MessageInputs {
        receiver: receiver.into_tensor(),
        sender: sender.into_tensor(),
        features: features.into_tensor(),
        envelope: envelope.map(Value::into_tensor),
        edge_weight,
        weight,
        bias,
        gate: gate.map(|Gate { weight, bias, readout }| GateInputs { weight, bias, readout }),
    };
    let Some(tangent) = tangent else {
        let MessageOutputs { gathered, gates } = B::message(edges, &primal);
        return (Value::new(gathered), gates.map(Value::new));
    };
    let DualOutputs { primal, tangent } = B::message_dual(edges, &DualInputs { primal, tangent });
    let gates = primal.gates.zip(tangent.gates).map(|(gates, tangent)| Value::with_tangent(gates, tangent));
    (Value::with_tangent(primal.gathered, tangent.gathered), gates)
}

/// The same by operations on values, which hold `[E, F]`.
fn composed<B: KernelBackend>(edges: &EdgeIndex<B>, messages: Messages<B>) -> (Value<B>, Option<Value<B>>) {
    let Messages { receiver, sender, features, envelope, edge_weight, weight, bias, attention, gate } = messages;
    if edges.is_empty() {
        let gates = gate.map(|_| Value::new(Tensor::empty([0, 1], &receiver.device())));
        return (receiver.zeros_like(), gates);
    }
    let first = receiver.gather(&edges.receivers) + sender.gather(&edges.senders) + features.matmul(edge_weight);
    let second = first.silu().matmul(weight).add_row(bias).silu();
    let messages = match envelope {
        Some(envelope) => second * envelope,
        None => second,
    };
    let messages = match attention {
        Some((weight, bias)) => messages.clone() * messages.matmul(weight).add_row(bias).sigmoid(),
        None => messages,
    };
    let gates =
        gate.map(|Gate { weight, bias, readout }| messages.clone().matmul(weight).add_row(bias).silu().matmul(readout));
    (messages.sum_groups(&edges.receivers), gates)
}
