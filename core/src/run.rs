//! The run directory: resolved config, metrics, snapshots, best weights, summary, report.

mod atomic;
mod directory;
mod log;
mod pieces;
pub mod report;
mod snapshot;
mod summary;
mod weights;

pub use directory::RunDirectory;
pub use log::{LogLine, MetricsLog};
pub use snapshot::{State, load_latest, save_snapshot};
pub use summary::{Best, EquivarianceSummary, RankSummary, Summary, TrainSummary};
pub use weights::{load_potential, save_potential};
