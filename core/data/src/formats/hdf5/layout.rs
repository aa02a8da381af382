//! What a layout has to say: which groups are of it, and how their conformers are read.

use super::file::{File, Group};
use crate::formats::Frame;

/// A way in which a data set of molecules is laid out: groups of the root, in all of which the same things stand.
pub(super) trait Layout: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What its groups hold, for errors.
    fn form(&self) -> &'static str;

    /// Whether a group of the root is of this layout.
    ///
    /// # Errors
    /// Where the group cannot be read.
    fn recognises(&self, file: &mut File, group: &Group) -> Result<bool, String>;

    /// Begins to read a group.
    ///
    /// # Errors
    /// Where something is missing in it, or has an unexpected shape or type.
    fn open(&self, group: Group) -> Result<Box<dyn Part>, String>;
}

/// A group that is being read.
pub(super) trait Part: Send {
    /// The next of its conformers, at least one and not too many at a time; none at its end. `None` stands for a
    /// conformer that has no label at all.
    ///
    /// # Errors
    /// Where something cannot be read.
    fn read(&mut self, file: &mut File) -> Result<Vec<Option<Frame>>, String>;
}
