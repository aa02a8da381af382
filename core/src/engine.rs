//! Gradients of a model that is a list of stages, with or without keeping what its stages compute.
//!
//! Going forward, a stage either keeps its autodiff graph or nothing but what flowed into it; going
//! back, the latter is run again before it is differentiated (Chen et al. 2016, arXiv:1604.06174). Either
//! way stages are differentiated one at a time, by the same operations on the same numbers, and hand
//! their gradients to a [`Sink`] at once. Models know nothing of this: they are a [`Stage`] each.

mod forward;
mod plan;
mod recompute;
mod sink;
mod stage;
mod walk;

pub use forward::{forward, forward_idle};
pub use plan::{StageBytes, WalkBytes, walk_bytes};
pub use recompute::{Recompute, Segment, parse_bytes};
pub(crate) use sink::add;
pub use sink::{Collect, Meeting, Sink};
pub use stage::{Flow, Stage, Stages};
pub use walk::{Walk, value_and_grad, walk_idle};
