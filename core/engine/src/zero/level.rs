//! What ranks own a piece of instead of all.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What ranks own a piece of instead of all; each level includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Zero {
    /// Nothing.
    #[default]
    Off,
    /// Optimizer states and averages.
    States,
    /// Gradients as well.
    Gradients,
    /// Weights as well.
    Weights,
}

impl Zero {
    /// All levels, from the one that shards nothing on.
    pub const ALL: [Self; 4] = [Self::Off, Self::States, Self::Gradients, Self::Weights];

    /// Whether states, averages and updates are of pieces.
    pub fn shards_states(self) -> bool {
        self >= Self::States
    }

    /// Whether gradients are cut as soon as a block's are there.
    pub fn shards_gradients(self) -> bool {
        self >= Self::Gradients
    }

    /// Whether no rank has all weights.
    pub fn shards_weights(self) -> bool {
        self >= Self::Weights
    }
}

impl TryFrom<u8> for Zero {
    type Error = String;

    fn try_from(level: u8) -> Result<Self, String> {
        Self::ALL.get(usize::from(level)).copied().ok_or_else(|| format!("is {level}, expected 0 to 3"))
    }
}

impl From<Zero> for u8 {
    fn from(level: Zero) -> Self {
        level as Self
    }
}

impl fmt::Display for Zero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", u8::from(*self))
    }
}

impl std::str::FromStr for Zero {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level: u8 = text.parse().map_err(|_| format!("`{text}`, expected 0 to 3"))?;
        level.try_into()
    }
}
