//! Training: the data made ready, the loop, the optimizer and its schedule, evaluation.

mod average;
mod data;
mod evaluate;
mod events;
mod metrics;
mod optimizer;
mod potential;
mod schedule;
mod session;
mod step;

pub use average::Average;
pub use data::{Dataset, Prepared, SourceReport, prepare, survey};
pub use evaluate::{Predicted, baseline, evaluate, predict};
pub use events::{Event, Observer, Progress};
pub use metrics::{Metrics, Tally};
pub use optimizer::{Optimizer, OptimizerConfig, clip_by_global_norm};
pub use potential::{Potential, PotentialInfo, PotentialSource};
pub use schedule::{Plateau, Schedule, ScheduleConfig};
pub use session::{Outcome, train};
pub use step::{LossAndGradients, accumulate, gradients_of};
