//! Why ranks cannot go on together.

use serde::{Deserialize, Serialize};

/// What a rank tells the others when it cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its error.
    pub message: String,
    /// Whether the user's input is to blame.
    pub input: bool,
}

/// Why ranks cannot go on together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommError {
    /// A rank has ended while others still needed it.
    #[error("rank {0} was lost; the others cannot go on without it. Start again with --resume, on any number of ranks")]
    Lost(usize),
    /// Ranks did not answer in time.
    #[error(
        "rank {rank} has waited {seconds} s for {}; it is lost, stuck, or slower than parallel.timeout allows. Start again \
         with --resume, on any number of ranks",
        list(.silent)
    )]
    Silent {
        /// The rank that waited.
        rank: usize,
        /// Those it waited for.
        silent: Vec<usize>,
        /// How long.
        seconds: u64,
    },
    /// Ranks did not come, where ranks are joined.
    #[error(
        "rank {rank} has waited {seconds} s for {}; it was not started, has ended, cannot reach this rank, or takes longer than \
         parallel.timeout allows{}",
        list(.absent),
        others(.turned_away)
    )]
    Absent {
        /// The rank that waited.
        rank: usize,
        /// Those it waited for.
        absent: Vec<usize>,
        /// How long.
        seconds: u64,
        /// How many others came, and did not show that they belong to the job.
        turned_away: usize,
    },
    /// A rank has failed, and said why.
    #[error("rank {rank}: {}", .failure.message)]
    Failed {
        /// The rank.
        rank: usize,
        /// What it said.
        failure: Failure,
    },
    /// Ranks have called collectives that do not belong together.
    #[error("rank {other} gave {found} bytes where rank {rank} expected {expected}: the ranks run different work")]
    Mismatch {
        /// The rank that noticed.
        rank: usize,
        /// How much it expected.
        expected: usize,
        /// The rank that gave something else.
        other: usize,
        /// How much that was.
        found: usize,
    },
    /// NVIDIA's library cannot go on.
    #[error("rank {rank}: NCCL: {message}")]
    Nccl {
        /// The rank.
        rank: usize,
        /// Why.
        message: String,
    },
    /// A rank has another job key than those that it has found, or only one of them has any.
    #[error("{0}")]
    Key(String),
    /// Ranks cannot find each other.
    #[error("{0}")]
    Launch(String),
}

impl CommError {
    /// Whether the user's input is to blame.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Failed { failure, .. } => failure.input,
            Self::Launch(_) | Self::Key(_) => true,
            Self::Lost(_) | Self::Silent { .. } | Self::Absent { .. } | Self::Mismatch { .. } | Self::Nccl { .. } => {
                false
            }
        }
    }
}

fn list(ranks: &[usize]) -> String {
    let numbers: Vec<String> = ranks.iter().map(usize::to_string).collect();
    format!("rank{} {}", if ranks.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

fn others(count: &usize) -> String {
    match *count {
        0 => String::new(),
        1 => ". A connection was turned away meanwhile; if it was a rank, its job key differs from this one's".into(),
        count => format!(
            ". {count} connections were turned away meanwhile; if they were ranks, their job key differs from this one's"
        ),
    }
}
