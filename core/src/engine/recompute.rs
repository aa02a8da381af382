//! Which stages keep what they compute.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which activations are computed again on the way back instead of having been kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recompute {
    /// None: every stage keeps what it computes.
    #[default]
    None,
    /// Those of every stage but the last, which is needed at once; one boundary is kept for each.
    Layer,
    /// Those of runs of this many stages; one boundary is kept for each run.
    Every(usize),
}

/// Stages that are run, and run again, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Their positions.
    pub stages: Range<usize>,
    /// Whether what they compute is kept.
    pub kept: bool,
}

impl Recompute {
    /// The segments of a model of `stages` stages.
    pub fn segments(self, stages: usize) -> Vec<Segment> {
        let (length, kept) = match self {
            Self::None => (1, stages),
            Self::Layer => (1, 1),
            Self::Every(length) => (length.max(1), 1),
        };
        let starts: Vec<usize> = (0..stages).step_by(length).collect();
        let count = starts.len();
        let segment = |(k, start): (usize, usize)| Segment {
            stages: start..(start + length).min(stages),
            kept: k + kept >= count,
        };
        starts.into_iter().enumerate().map(segment).collect()
    }
}

impl fmt::Display for Recompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Layer => write!(f, "layer"),
            Self::Every(length) => write!(f, "every:{length}"),
        }
    }
}

impl FromStr for Recompute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}`, expected none, layer or every:K");
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "layer" => Ok(Self::Layer),
            Some(("every", length)) => match length.parse() {
                Ok(length) if length > 0 => Ok(Self::Every(length)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Recompute {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Recompute> for String {
    fn from(recompute: Recompute) -> Self {
        recompute.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_survive_a_round_trip_and_nonsense_is_refused() {
        for text in ["none", "layer", "every:3"] {
            assert_eq!(text.parse::<Recompute>().unwrap().to_string(), text);
        }
        for text in ["", "all", "every", "every:0", "every:x"] {
            assert!(text.parse::<Recompute>().unwrap_err().contains("expected none"), "{text}");
        }
    }

    #[test]
    fn the_last_segment_is_always_kept() {
        let segments = |recompute: Recompute| -> Vec<(Range<usize>, bool)> {
            recompute.segments(5).into_iter().map(|segment| (segment.stages, segment.kept)).collect()
        };
        assert!(segments(Recompute::None).iter().all(|(_, kept)| *kept));
        let expected = vec![(0..1, false), (1..2, false), (2..3, false), (3..4, false), (4..5, true)];
        assert_eq!(segments(Recompute::Layer), expected);
        assert_eq!(segments(Recompute::Every(2)), [(0..2, false), (2..4, false), (4..5, true)]);
    }
}
