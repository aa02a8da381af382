//! What layers know of the edges.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_ops::dual::Dual;
use isograd_ops::index::EdgeIndex;
use isograd_ops::kernels::{EdgeFunction, KernelBackend};
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
    /// Directions as tensors and the basis times the envelope, where directions are asked for.
    pub tensors: Option<TensorEdges<B>>,
}

/// What convolutions of tensor features read of the edges.
#[derive(Debug, Clone)]
pub struct TensorEdges<B: Backend> {
    /// `[E, components]`, see [`Directions`](super::Directions).
    pub directions: Value<B>,
    /// Basis times envelope, `[E, K]`.
    pub features: Value<B>,
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
        let tensors = radial.directions.as_ref().map(|directions| TensorEdges {
            directions: directions.of(unit(&vectors, &squared, SMALLEST_TENSOR_SQUARE)),
            features: faded(&envelope, features.clone()),
        });
        Self { vectors, squared, features, envelope, mean, tensors }
    }

    /// The same, through which no gradient flows.
    pub fn without_gradient(
        radial: &Radial,
        vectors: &Value<B>,
        index: &EdgeIndex<B>,
        inverse_degree: &Value<B>,
    ) -> Self {
        let inputs = [vectors, inverse_degree].map(|input| input.clone().into());
        let made = B::without_gradient(Made { radial }, inputs.into(), index);
        let mut made = made.into_iter().map(Value::from);
        // In the order of `Edges::into_values`.
        let mut next = || made.next().unwrap_or_else(|| panic!("Edges: fewer values than were made"));
        Self {
            vectors: next(),
            squared: next(),
            features: next(),
            mean: next(),
            envelope: (radial.envelope != Envelope::None).then(&mut next),
            tensors: radial.directions.is_some().then(|| TensorEdges { directions: next(), features: next() }),
        }
    }

    fn into_values(self) -> Vec<Value<B>> {
        let mut values = vec![self.vectors, self.squared, self.features, self.mean];
        values.extend(self.envelope);
        values.extend(self.tensors.into_iter().flat_map(|own| [own.directions, own.features]));
        values
    }

    /// These edges, as they were given, after nodes have moved by `displacement` `[N, D]`; without tensors.
    pub fn moved(&self, radial: &Radial, index: &EdgeIndex<B>, displacement: &Value<B>) -> Self {
        let sender = displacement.clone().gather(&index.senders);
        let vectors = self.vectors.clone() + sender - displacement.clone().gather(&index.receivers);
        let squared = squares(&vectors);
        let features = radial.basis.features(radial.cutoff, squared.clone());
        Self { vectors, squared, features, tensors: None, ..self.clone() }
    }

    /// Everything that was made of the vectors; a tangent follows its value.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<B, 2>> {
        let values = [&self.vectors, &self.squared, &self.features, &self.mean].into_iter().chain(&self.envelope);
        let values = values.chain(self.tensors.iter().flat_map(|own| [&own.directions, &own.features]));
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
            tensors: self
                .tensors
                .as_ref()
                .map(|own| TensorEdges { directions: leaf(&own.directions), features: leaf(&own.features) }),
        }
    }

    /// Scalars per edge `[E, C]` times the envelope. A perceptron's biases give a value even for a
    /// message that has faded to zero, which would jump when the edge leaves the cutoff.
    pub fn fade(&self, scalars: Value<B>) -> Value<B> {
        faded(&self.envelope, scalars)
    }

    /// Unit vectors `[E, D]`, `r / sqrt(|r|^2 + smallest)`: where an edge has no length, its direction has none.
    pub fn directions(&self, smallest: f64) -> Value<B> {
        unit(&self.vectors, &self.squared, smallest)
    }
}

/// [`Edges::new`] as a function of vectors and of one over the numbers of neighbours.
struct Made<'a> {
    radial: &'a Radial,
}

impl EdgeFunction for Made<'_> {
    fn call<B: KernelBackend>(self, inputs: Vec<Dual<B>>, edges: &EdgeIndex<B>) -> Vec<Dual<B>> {
        let inputs: Vec<Value<B>> = inputs.into_iter().map(Value::from).collect();
        let made = Edges::new(self.radial, &inputs[0], edges, &inputs[1]);
        made.into_values().into_iter().map(Dual::from).collect()
    }
}

fn faded<B: Backend>(envelope: &Option<Value<B>>, scalars: Value<B>) -> Value<B> {
    match envelope {
        Some(envelope) => scalars * envelope.clone(),
        None => scalars,
    }
}

fn unit<B: Backend>(vectors: &Value<B>, squared: &Value<B>, smallest: f64) -> Value<B> {
    vectors.clone().divided_by(squared.clone().add_scalar(smallest).sqrt())
}

/// What is added to squared lengths (angstrom^2) where directions become tensors: their slopes, and slopes of these, stay
/// small where two atoms are at the same place, and no two atoms of a molecule come as close as a tenth of an angstrom.
const SMALLEST_TENSOR_SQUARE: f64 = 1e-2;

/// Squared lengths `[E, 1]` of vectors `[E, D]`.
fn squares<B: Backend>(vectors: &Value<B>) -> Value<B> {
    vectors.clone().square().sum_columns()
}
