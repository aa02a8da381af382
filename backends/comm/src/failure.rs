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
    /// Ranks cannot find each other.
    #[error("{0}")]
    Launch(String),
}

impl CommError {
    /// Whether the user's input is to blame.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Failed { failure, .. } => failure.input,
            Self::Launch(_) => true,
            Self::Lost(_) | Self::Silent { .. } | Self::Mismatch { .. } | Self::Nccl { .. } => false,
        }
    }
}

fn list(ranks: &[usize]) -> String {
    let numbers: Vec<String> = ranks.iter().map(usize::to_string).collect();
    format!("rank{} {}", if ranks.len() == 1 { "" } else { "s" }, numbers.join(", "))
}
