//! Training: the data made ready, the loop, the optimizer and its schedule, evaluation.

mod average;
mod check;
mod data;
mod dataset;
mod evaluate;
mod events;
mod finish;
mod metrics;
mod optimizer;
mod plan;
mod potential;
mod rank;
mod schedule;
mod session;
mod step;
mod window;

pub use average::Average;
pub use check::{CASES_AFTER_TRAINING, Checked, check_potential};
pub use data::{Prepared, SourceReport, model_shape, prepare, survey};
pub use dataset::Dataset;
pub use evaluate::{Predicted, baseline, evaluate, predict};
pub use events::{Event, Observer, Progress};
pub use finish::Finished;
pub use metrics::{Metrics, Tally};
pub use optimizer::{Optimizer, OptimizerConfig, clip_scale, squares};
pub use plan::{MemoryPlan, Work};
pub use potential::{Potential, PotentialInfo, PotentialSource};
pub use rank::{Outcome, Seat, train, train_rank};
pub use schedule::{Plateau, Schedule, ScheduleConfig};
pub use step::{LossAndGradients, Step, accumulate, differentiate};
