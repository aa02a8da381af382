//! What layers know of the edges.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_ops::index::EdgeIndex;
use isograd_ops::kernels::KernelBackend;
use isograd_ops::value::Value;

use super::radial::{Envelope, Radial};

/// What layers know of the edges. Vectors and what follows from them are made anew whenever coordinates have moved; the
/// envelope stays that of the true geometry, because that is what decides which edges there are: an edge must have faded
/// before it leaves the list.
#[derive(Debug, Clone)]
pub struct Edges<B: Backend> {
    /// `r_ij`, `[E, D]`.
    pub vectors: Value<B>,
    /// Squared distances, `[E, 1]`.
    pub squared: Value<B>,
    /// Basis, `[E, K]`.
    pub features: Value<B>,
    /// Envelope, `[E, 1]`.
    pub envelope: Option<Value<B>>,
    /// What turns the sum over a node's edges into a mean, `[N, 1]`: one over the number of neighbours; with an envelope,
    /// one over one more than its sum, which does not jump.
    pub mean: Value<B>,
}

impl<B: KernelBackend> Edges<B> {
    /// The edges of a graph as it is given: their vectors `[E, D]`, who receives from whom, and one over the number of
    /// neighbours `[N, 1]`.
    pub fn new(radial: &Radial, vectors: &Value<B>, index: &EdgeIndex<B>, inverse_degree: &Value<B>) -> Self {
        let vectors = vectors.clone();
        let squared = squares(&vectors);
        let envelope = match radial.envelope {
            Envelope::None => None,
            kind => kind.values(radial.cutoff, squared.clone()),
        };
        let mean = match &envelope {
            Some(envelope) => envelope.clone().sum_groups(&index.receivers).add_scalar(1.0).recip(),
            None => inverse_degree.clone(),
        };
        let features = radial.basis.features(radial.cutoff, squared.clone());
        Self { vectors, squared, features, envelope, mean }
    }

    /// These edges, as they were given, after nodes have moved by `displacement` `[N, D]`.
    pub fn moved(&self, radial: &Radial, index: &EdgeIndex<B>, displacement: &Value<B>) -> Self {
        let sender = displacement.clone().gather(&index.senders);
        let vectors = self.vectors.clone() + sender - displacement.clone().gather(&index.receivers);
        let squared = squares(&vectors);
        let features = radial.basis.features(radial.cutoff, squared.clone());
        Self { vectors, squared, features, envelope: self.envelope.clone(), mean: self.mean.clone() }
    }

    /// Everything that was made of the vectors; a tangent follows its value.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<B, 2>> {
        let values = [&self.vectors, &self.squared, &self.features, &self.mean].into_iter().chain(&self.envelope);
        values.flat_map(|value| std::iter::once(value.tensor()).chain(value.tangent()))
    }

    /// The same numbers, each the start of a graph.
    pub(crate) fn leaves(&self) -> Self {
        let leaf = |value: &Value<B>| value.clone().leaf();
        Self {
            vectors: leaf(&self.vectors),
            squared: leaf(&self.squared),
            features: leaf(&self.features),
            envelope: self.envelope.as_ref().map(leaf),
            mean: leaf(&self.mean),
        }
    }

    /// Scalars per edge `[E, C]` times the envelope. A perceptron's biases give a value even for a
    /// message that has faded to zero, which would jump when the edge leaves the cutoff.
    pub fn fade(&self, scalars: Value<B>) -> Value<B> {
        match &self.envelope {
            Some(envelope) => scalars * envelope.clone(),
            None => scalars,
        }
    }

    /// Unit vectors `[E, D]`, `r / sqrt(|r|^2 + smallest)`: where an edge has no length, its direction has none.
    pub fn directions(&self, smallest: f64) -> Value<B> {
        self.vectors.clone().divided_by(self.squared.clone().add_scalar(smallest).sqrt())
    }
}

/// Squared lengths `[E, 1]` of vectors `[E, D]`.
fn squares<B: Backend>(vectors: &Value<B>) -> Value<B> {
    vectors.clone().square().sum_columns()
}
