//! What an audit finds, each with a count, the worst frames and a remedy.

use std::fmt;

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Training refuses such data, or learns what is wrong.
    Error,
    /// Labels or the split are probably not what they should be.
    Warning,
    /// It is good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Frames of a finding that are named.
pub(super) const MOST: usize = 10;

/// One of the frames that a finding is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worst {
    /// Its file and its position there, from 0.
    pub place: String,
    /// The frame that it is held against, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// By how much it is wrong; `None` where that is no number.
    pub value: Option<f64>,
    /// The unit of the value.
    pub unit: &'static str,
}

/// Something that an audit found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What it is, in one word for programs: `overlap`, `copies`, `force_sign`, ...
    pub kind: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The source that it was found in; `None` where it is about several.
    pub source: Option<String>,
    /// How many frames it is about.
    pub frames: usize,
    /// Out of how many.
    pub of: usize,
    /// A sentence.
    pub says: String,
    /// What mends it: lines of a config, or a command.
    pub remedy: Option<String>,
    /// The frames that are worst, at most ten.
    pub worst: Vec<Worst>,
}
