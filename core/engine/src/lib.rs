//! Gradients of a model that is a list of blocks, on one rank or several, with or without keeping what blocks compute.
//!
//! A [`Block`] is a function of what flows into it, of its [`BlockWeights`] and of a context. It declares its parameters
//! ([`Declare`]) and holds none: weights are data, which lie wherever ZeRO leaves them ([`zero`]).
//!
//! [`value_and_grad`] walks the blocks. Going forward, a block either keeps its autodiff graph or nothing but what
//! flowed into it; going back, the latter is run again before it is differentiated (Chen et al. 2016,
//! arXiv:1604.06174). Either way blocks are differentiated one at a time, by the same operations on the same numbers, and
//! their gradients are handed to a [`Sink`] at once. Nothing here knows what a model computes, what it is trained for, or
//! where data come from.
//!
//! ```
//! use burn::backend::Autodiff;
//! use burn::tensor::Tensor;
//! use burn_flex::Flex;
//! use isograd_ops::kernels::KernelBackend;
//! use isograd_ops::value::Value;
//! use isograd_engine::{Block, BlockWeights, Collect, Declare, Flow, Init, Layout, Recompute, Slot, Walk, value_and_grad};
//!
//! /// `x W`, where x is the context of the first block.
//! struct Linear(Slot<2>);
//! impl<B: KernelBackend> Block<B, Tensor<B, 2>> for Linear {
//!     fn forward(&self, weights: &BlockWeights<B>, x: &Tensor<B, 2>, mut flow: Flow<B>) -> Flow<B> {
//!         let x = flow.take("x").unwrap_or_else(|| Value::new(x.clone()));
//!         flow.put("x", x.matmul(weights.get(self.0)));
//!         flow
//!     }
//! }
//!
//! type Tracked = Autodiff<Flex>;
//! let mut declare = Declare::new();
//! let blocks: Vec<Box<dyn Block<Tracked, Tensor<Tracked, 2>>>> = (0..3)
//!     .map(|k| -> Box<dyn Block<Tracked, Tensor<Tracked, 2>>> {
//!         declare.next_block();
//!         Box::new(Linear(declare.scope(k).slot("weight", [2, 2], Init::Uniform(1.0))))
//!     })
//!     .collect();
//! let layout = Layout::new(declare.finish(), 1);
//! let device = Default::default();
//! let weights = layout.whole::<Flex>(0, &device);
//!
//! let mut sink = Collect::new(3);
//! let segments = Recompute::Layer.segments(3);
//! let x = Tensor::from_floats([[1.0, 2.0]], &device);
//! let loss = |mut flow: Flow<Tracked>| flow.take("x").unwrap().into_tensor().sum();
//! let walk = Walk { segments: &segments, random: None };
//! value_and_grad(&blocks, &layout.view(&weights), &x, walk, loss, &mut sink).unwrap();
//! assert_eq!(sink.gradients().len(), 3);
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod average;
mod block;
mod error;
mod function;
mod layout;
mod module;
mod optimizer;
mod recompute;
mod sink;
mod sketch;
mod walk;
mod weights;
pub mod zero;

pub use average::Average;
pub use block::{Block, Blocks, Differentiable, Flow, WeightSource};
pub use error::{Error, Result};
pub use function::block;
pub use layout::{Fragment, Layout, Whole};
pub use module::ModuleBlock;
pub use optimizer::{
    Matrices, Moments, Optimizer, OptimizerConfig, OptimizerKind, OptimizerStep, Rule, clip_scale, squares,
};
pub use recompute::{Recompute, Segment, parse_bytes};
pub(crate) use sink::add;
pub use sink::{Collect, JoinedSinks, Sink};
pub use sketch::{SketchedSink, SketchedWeights, settling};
pub use walk::{Walk, context_gradient, context_gradient_idle, forward, forward_idle, value_and_grad, walk_idle};
pub use weights::{BlockWeights, Declare, Init, Slot, Spec};
