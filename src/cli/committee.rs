//! What `predict` and `eval` share where several models answer together.

use std::path::{Path, PathBuf};

use isograd::data::Source;
use isograd::train::Result;
use isograd::{Committee, CommitteeValues};

use super::predict::UseOptions;

/// How many frames a warning names.
const NAMED: usize = 5;

#[derive(clap::Args)]
pub(crate) struct CommitteeArgs {
    /// Another run that answers beside the first, with the mean of both and their spread; may be repeated
    #[arg(long = "with", value_name = "RUN")]
    with: Vec<PathBuf>,
}

impl CommitteeArgs {
    /// All members, and how files of the source that they predict for are read.
    pub(crate) fn load(&self, run: &Path, options: &UseOptions) -> Result<(Committee, Source)> {
        let opened = options.device.open(run)?;
        let runs: Vec<&Path> = std::iter::once(run).chain(self.with.iter().map(PathBuf::as_path)).collect();
        let committee = Committee::load(&runs, opened.device)?;
        let (_, source) = options.source(committee.first().info())?;
        let committee = match &options.source {
            Some(name) => committee.of_source(name)?,
            None => committee,
        };
        Ok((committee, source))
    }

    /// Whether there is one model and no more.
    pub(crate) fn is_of_one(&self, opened: &super::predict::Opened) -> Result<bool> {
        Ok(self.with.is_empty() && opened.run.members()?.len() == 1)
    }
}

/// Counts structures on which members are farther apart than on any that was held out.
#[derive(Default)]
pub(crate) struct Beyond {
    count: usize,
    first: Vec<usize>,
}

impl Beyond {
    /// Counts what is said of a frame.
    pub(crate) fn count(&mut self, found: &CommitteeValues, frame: usize) {
        if found.is_beyond_validation == Some(true) {
            self.count += 1;
            if self.first.len() < NAMED {
                self.first.push(frame);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Says how many there are, if there are any.
    pub(crate) fn warn(&self, of: usize) {
        if self.count == 0 {
            return;
        }
        let frames: Vec<String> = self.first.iter().map(usize::to_string).collect();
        let more = if self.count > self.first.len() { ", .." } else { "" };
        eprintln!(
            "warning: {} of {of} structures are beyond validation: on them the models are farther apart than on any structure that \
             was held out (frames {}{more})",
            self.count,
            frames.join(", ")
        );
    }
}
