//! Parameters: declared with a name, a shape and how they begin; held as data, apart from the code that uses them.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensorOps;
use burn::tensor::{Shape, Tensor, TensorMetadata, TensorPrimitive};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How the values of a parameter begin. Every value depends on the seed, the path and its place alone.
#[derive(Clone)]
pub enum Init {
    /// All the same.
    Constant(f32),
    /// Uniform within plus and minus this.
    Uniform(f64),
    /// What this makes of a seed: as many values as the parameter has.
    Values(Arc<dyn Fn(u64) -> Vec<f32> + Send + Sync>),
}

impl fmt::Debug for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "Constant({value})"),
            Self::Uniform(bound) => write!(f, "Uniform({bound})"),
            Self::Values(_) => write!(f, "Values"),
        }
    }
}

/// A declared parameter.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name, as in `layers.0.message.second.weight`; no other parameter of the model has it.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How it begins.
    pub init: Init,
    /// Rows and columns of the matrices that lie below and beside each other in it, which [`Muon`](crate::OptimizerKind::Muon)
    /// keeps together; `None` of what is no matrix.
    pub matrices: Option<[usize; 2]>,
    /// Whether training leaves it as it begins.
    pub frozen: bool,
}

impl Spec {
    /// A parameter that is no matrix, and is trained.
    pub fn new(path: impl Into<String>, shape: Vec<usize>, init: Init) -> Self {
        Self { path: path.into(), shape, init, matrices: None, frozen: false }
    }

    /// Number of values.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Some of the values that the parameter begins with, in row-major order.
    pub fn initial(&self, seed: u64, range: Range<usize>) -> Vec<f32> {
        match &self.init {
            Init::Constant(value) => vec![*value; range.len()],
            Init::Uniform(bound) => {
                let mut rng = self.rng(seed);
                // Two words of 32 bits make a value.
                rng.set_word_pos(2 * range.start as u128);
                let mut draw = || {
                    let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
                    (bound * (2.0 * unit - 1.0)) as f32
                };
                range.map(|_| draw()).collect()
            }
            Init::Values(make) => make(self.rng(seed).next_u64())[range].to_vec(),
        }
    }

    /// A stream of random numbers of this parameter's own.
    fn rng(&self, seed: u64) -> ChaCha8Rng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(self.path.as_bytes());
        ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
    }
}

/// Where a block finds one of its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot<const R: usize> {
    index: usize,
    shape: [usize; R],
}

impl<const R: usize> Slot<R> {
    /// The parameter's shape.
    pub fn shape(self) -> [usize; R] {
        self.shape
    }
}

/// Collects the parameters that the blocks of a model declare, block by block. Nothing is allocated for them.
#[derive(Debug, Default)]
pub struct Declare {
    blocks: Vec<Vec<Spec>>,
    path: Vec<String>,
    taken: HashSet<String>,
}

impl Declare {
    /// Of a model without blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is declared from now on belongs to the next block.
    pub fn next_block(&mut self) {
        self.blocks.push(Vec::new());
    }

    /// Declares parameters under a name: `layers`, then a number, and so on.
    pub fn scope(&mut self, name: impl Display) -> Scope<'_> {
        self.path.push(name.to_string());
        Scope { declare: self }
    }

    /// Declares a parameter of the current block.
    ///
    /// # Panics
    /// If no block was begun, or the model has a parameter of this name already.
    pub fn slot<const R: usize>(&mut self, name: &str, shape: [usize; R], init: Init) -> Slot<R> {
        let index = self.dynamic_slot(name, shape.to_vec(), init);
        Slot { index, shape }
    }

    /// As [`Self::slot`], of matrices `[p, q]` that lie below and beside each other.
    ///
    /// # Panics
    /// As [`Self::slot`], and if they do not fill the shape.
    pub fn matrices(&mut self, name: &str, shape: [usize; 2], [p, q]: [usize; 2], init: Init) -> Slot<2> {
        let fills = shape[0].is_multiple_of(p.max(1)) && shape[1].is_multiple_of(q.max(1));
        assert!(fills, "Declare: `{name}` of {shape:?} is no matrices of {p} and {q}");
        let index = self.declared(name, shape.to_vec(), init, Some([p, q]));
        Slot { index, shape }
    }

    /// As [`Self::slot`], of a parameter whose rank is known at run time only; its place in the block.
    ///
    /// # Panics
    /// As [`Self::slot`].
    pub fn dynamic_slot(&mut self, name: &str, shape: Vec<usize>, init: Init) -> usize {
        self.declared(name, shape, init, None)
    }

    fn declared(&mut self, name: &str, shape: Vec<usize>, init: Init, matrices: Option<[usize; 2]>) -> usize {
        // Of a matrix with one row or column, there is one direction.
        let matrices = matrices.filter(|sides| !sides.iter().any(|&side| side < 2));
        let path = self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
        assert!(self.taken.insert(path.clone()), "Declare: two parameters are called `{path}`");
        let Some(block) = self.blocks.last_mut() else { panic!("Declare: `{path}` belongs to no block") };
        block.push(Spec { matrices, ..Spec::new(path, shape, init) });
        block.len() - 1
    }

    /// The parameters of each block.
    pub fn finish(self) -> Vec<Vec<Spec>> {
        self.blocks
    }
}

/// Declares parameters under a name, until it is dropped.
#[derive(Debug)]
pub struct Scope<'a> {
    declare: &'a mut Declare,
}

impl std::ops::Deref for Scope<'_> {
    type Target = Declare;

    fn deref(&self) -> &Declare {
        self.declare
    }
}

impl std::ops::DerefMut for Scope<'_> {
    fn deref_mut(&mut self) -> &mut Declare {
        self.declare
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        self.declare.path.pop();
    }
}

/// The weights of one block, each in its shape, in the order in which they were declared.
#[derive(Debug, Clone)]
pub struct BlockWeights<B: Backend> {
    values: Vec<B::FloatTensorPrimitive>,
}

impl<B: Backend> BlockWeights<B> {
    /// Of flat values of declared parameters.
    ///
    /// # Panics
    /// If there are not as many values.
    pub fn new(values: Vec<Tensor<B, 1>>, parameters: &[Spec]) -> Self {
        assert_eq!(values.len(), parameters.len(), "BlockWeights: parameters of a block");
        let shaped = |(values, parameter): (Tensor<B, 1>, &Spec)| {
            B::float_reshape(values.into_primitive().tensor(), Shape::from(parameter.shape.clone()))
        };
        Self { values: values.into_iter().zip(parameters).map(shaped).collect() }
    }

    /// A parameter in its shape.
    ///
    /// # Panics
    /// If the slot is that of another block, whose parameter there has another shape.
    pub fn get<const R: usize>(&self, slot: Slot<R>) -> Tensor<B, R> {
        let tensor = tensor::<B, R>(self.values[slot.index].clone());
        assert_eq!(tensor.shape(), Shape::from(slot.shape), "BlockWeights: the shape of a parameter");
        tensor
    }

    /// A parameter by its place in the block.
    ///
    /// # Panics
    /// If it has another rank.
    pub fn dynamic<const R: usize>(&self, index: usize) -> Tensor<B, R> {
        let values = self.values[index].clone();
        assert_eq!(values.shape().num_dims(), R, "BlockWeights: the rank of a parameter");
        tensor(values)
    }
}

impl<A: AutodiffBackend> BlockWeights<A> {
    /// The same numbers under autodiff; with `tracked` gradients with respect to them can be asked for. Each call makes
    /// leaves of its own: walks that share none are not held up by each other.
    pub fn from_inner(values: BlockWeights<A::InnerBackend>, tracked: bool) -> Self {
        let lift = |values| {
            let lifted = A::from_inner(values);
            if tracked { tensor::<A, 1>(lifted).require_grad().into_primitive().tensor() } else { lifted }
        };
        Self { values: values.values.into_iter().map(lift).collect() }
    }

    /// Gradients with respect to all parameters, flat; zeros where the result does not depend on one.
    pub fn gradients(&self, gradients: Option<&mut A::Gradients>) -> Vec<Tensor<A::InnerBackend, 1>> {
        let mut gradients = gradients;
        let flat = |values: &A::FloatTensorPrimitive| {
            let shape = Shape::from([values.shape().num_elements()]);
            match gradients.as_mut().and_then(|gradients| A::grad_remove(values, gradients)) {
                Some(found) => tensor(<A::InnerBackend as FloatTensorOps<_>>::float_reshape(found, shape)),
                None => Tensor::zeros(shape, &A::float_device(values)),
            }
        };
        self.values.iter().map(flat).collect()
    }
}

/// The tensor of a float primitive.
fn tensor<B: Backend, const R: usize>(primitive: B::FloatTensorPrimitive) -> Tensor<B, R> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(path: &str, init: Init) -> Spec {
        Spec::new(path, vec![40, 25], init)
    }

    #[test]
    fn a_part_of_a_parameter_begins_as_in_the_whole() {
        let made: Init = Init::Values(Arc::new(|seed| (0..1000).map(|k| (seed % 1000) as f32 + k as f32).collect()));
        for init in [Init::Constant(0.5), Init::Uniform(0.3), made] {
            let spec = spec("a", init);
            let whole = spec.initial(3, 0..1000);
            assert_eq!(whole.len(), 1000);
            assert_eq!(spec.initial(3, 311..723), whole[311..723]);
        }
    }

    #[test]
    fn values_depend_on_seed_and_path_and_are_spread_evenly() {
        let draw = |path: &str, seed| spec(path, Init::Uniform(2.0)).initial(seed, 0..1000);
        assert_eq!(draw("a", 1), draw("a", 1));
        assert!(draw("a", 1) != draw("b", 1) && draw("a", 1) != draw("a", 2));
        let values = draw("a", 1);
        assert!(values.iter().all(|x| x.abs() <= 2.0));
        let mean = values.iter().sum::<f32>() / 1000.0;
        let variance = values.iter().map(|x| x * x).sum::<f32>() / 1000.0;
        // Of 1000 draws, four standard deviations from 0 and from 4/3.
        assert!(mean.abs() < 0.15 && (variance - 4.0 / 3.0).abs() < 0.16, "{mean} {variance}");
    }

    #[test]
    #[should_panic(expected = "two parameters are called `x.w`")]
    fn names_are_unique() {
        let mut declare = Declare::new();
        declare.next_block();
        declare.scope("x").slot("w", [1], Init::Constant(0.0));
        declare.next_block();
        declare.scope("x").slot("w", [1], Init::Constant(0.0));
    }
}
