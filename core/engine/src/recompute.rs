//! Which blocks keep what they compute.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which activations are computed again on the way back instead of having been kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recompute {
    /// None: every block keeps what it computes.
    #[default]
    None,
    /// Those of every block but the last, which is needed at once; one boundary is kept for each.
    Layer,
    /// Those of runs of this many blocks; one boundary is kept for each run.
    Every(usize),
    /// Those of the first blocks, as few as it takes to stay within this many bytes in all. How many that
    /// are, only a memory plan can tell.
    Auto(u64),
}

/// Blocks that are run, and run again, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Their positions.
    pub blocks: Range<usize>,
    /// Whether what they compute is kept.
    pub kept: bool,
}

impl Recompute {
    /// The segments of a model of `blocks` blocks; of `auto`, the most sparing ones.
    pub fn segments(self, blocks: usize) -> Vec<Segment> {
        match self {
            Self::None => cut(blocks, 1, blocks),
            Self::Layer | Self::Auto(_) => cut(blocks, 1, 1),
            Self::Every(length) => cut(blocks, length.max(1), 1),
        }
    }

    /// The segments, a block each, of which the last `kept` are kept.
    pub fn keep_last(blocks: usize, kept: usize) -> Vec<Segment> {
        cut(blocks, 1, kept)
    }
}

/// Runs of `length` blocks, of which the last `kept` are kept.
fn cut(blocks: usize, length: usize, kept: usize) -> Vec<Segment> {
    let starts: Vec<usize> = (0..blocks).step_by(length).collect();
    let count = starts.len();
    let segment =
        |(k, start): (usize, usize)| Segment { blocks: start..(start + length).min(blocks), kept: k + kept >= count };
    starts.into_iter().enumerate().map(segment).collect()
}

impl fmt::Display for Recompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Layer => write!(f, "layer"),
            Self::Every(length) => write!(f, "every:{length}"),
            Self::Auto(bytes) => write!(f, "auto:{bytes}"),
        }
    }
}

impl FromStr for Recompute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}`, expected none, layer, every:K or auto:BYTES, as in every:2 and auto:4GB");
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "layer" => Ok(Self::Layer),
            Some(("every", length)) => match length.parse() {
                Ok(length) if length > 0 => Ok(Self::Every(length)),
                _ => Err(wrong()),
            },
            Some(("auto", limit)) => parse_bytes(limit).map(Self::Auto).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

/// A number of bytes, with or without a unit: `500`, `1.5GB`, `512 MiB`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let units = [("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("KiB", 1024.0), ("MiB", 1048576.0)];
    let units = units.into_iter().chain([("GiB", 1073741824.0), ("TiB", 1099511627776.0), ("B", 1.0), ("", 1.0)]);
    let number_of = |(unit, size): (&str, f64)| {
        let number: f64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
        (number > 0.0 && number * size < 1e18).then_some((number * size) as u64)
    };
    units.into_iter().find_map(number_of)
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
        for text in ["none", "layer", "every:3", "auto:1500"] {
            assert_eq!(text.parse::<Recompute>().unwrap().to_string(), text);
        }
        for (text, bytes) in [("12", 12), ("1.5kB", 1500), ("2 MiB", 2 << 20), ("3GB", 3_000_000_000)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "all", "every", "every:0", "every:x", "auto", "auto:", "auto:-1", "auto:1XB", "auto:nan"] {
            assert!(text.parse::<Recompute>().unwrap_err().contains("expected none"), "{text}");
        }
    }

    #[test]
    fn the_last_segment_is_always_kept() {
        let segments = |recompute: Recompute| -> Vec<(Range<usize>, bool)> {
            recompute.segments(5).into_iter().map(|segment| (segment.blocks, segment.kept)).collect()
        };
        assert!(segments(Recompute::None).iter().all(|(_, kept)| *kept));
        let expected = vec![(0..1, false), (1..2, false), (2..3, false), (3..4, false), (4..5, true)];
        assert_eq!(segments(Recompute::Layer), expected);
        assert_eq!(segments(Recompute::Every(2)), [(0..2, false), (2..4, false), (4..5, true)]);
    }
}
