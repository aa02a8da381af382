//! The run directory: resolved config, log, snapshots, best weights, summary; and what it tells of its run.

mod atomic;
mod columns;
mod committee;
mod course;
mod csv;
mod directory;
mod events;
mod log;
mod logs;
mod pieces;
mod record;
mod snapshot;
mod start;
mod summary;
mod weights;

pub use columns::Columns;
pub use committee::{CommitteeSummary, HeldOutSpread, MemberSummary};
pub use course::Course;
pub use directory::{Lock, RunDirectory};
pub use log::{LogLine, MetricsLog};
pub use logs::Logs;
pub use record::{Record, RunState};
pub use snapshot::{State, latest_state, load_latest, save_snapshot};
pub use start::{SampleSet, Start};
pub use summary::{Best, EquivarianceSummary, RankSummary, Summary, TrainSummary};
pub use weights::{load_model, save_model};
