//! The run directory: resolved config, metrics, snapshots, best weights, summary.

mod atomic;
mod committee;
mod course;
mod directory;
mod log;
mod pieces;
mod snapshot;
mod summary;
mod weights;

pub use committee::{CommitteeSummary, HeldOutSpread, MemberSummary};
pub use course::Course;
pub use directory::{Lock, RunDirectory};
pub use log::{LogLine, MetricsLog};
pub use snapshot::{State, load_latest, save_snapshot};
pub use summary::{Best, EquivarianceSummary, RankSummary, Summary, TrainSummary};
pub use weights::{load_model, save_model};
