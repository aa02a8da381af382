//! What a layout is: columns, and how a row of them becomes a frame.

use super::row::Row;
use crate::formats::Frame;

/// Columns that belong together.
pub(super) struct Layout {
    /// Whose columns they are.
    pub(super) name: &'static str,
    /// The columns that it is told by.
    pub(super) required: &'static [&'static str],
    /// The columns that are read, where they are there.
    pub(super) columns: &'static [&'static str],
    /// The frame of a row, without its index; an error is a sentence about the column.
    pub(super) frame: fn(&Row<'_>) -> Result<Frame, String>,
}
