//! Samples of stores in memory, where the config asks for it.

use std::sync::Arc;

use burn::tensor::backend::Backend;
use isograd_comm::Communicator;

use super::node::copy_to_nodes;
use super::{Held, Holding};
use crate::config::{self, Config};
use crate::{Dataset, Error, Prepared, Result};

/// What ranks hold in memory for each other.
#[derive(Default)]
pub(crate) struct Resident {
    training: Option<Arc<Held>>,
    validation: Option<Arc<Held>>,
}

impl Resident {
    /// Samples to train on.
    pub(crate) fn training(&self) -> Option<Arc<Held>> {
        self.training.clone()
    }

    /// Samples that are held out.
    pub(crate) fn validation(&self) -> Option<Arc<Held>> {
        self.validation.clone()
    }

    /// Brings samples into memory. All ranks call this together.
    ///
    /// # Errors
    /// [`Error::Config`] where the config asks for what cannot be, and where a sample cannot be read.
    pub(crate) fn read<B: Backend>(
        config: &Config,
        prepared: &Prepared,
        comm: &dyn Communicator<B>,
        mut progress: impl FnMut(Holding),
    ) -> Result<Self> {
        let Prepared { training, validation, .. } = prepared;
        let how = config.data.resident;
        if how != config::Resident::Files && training.stores().is_empty() {
            return Err(wrong(
                "resident is of stores, and no source is one: what is read from other files is in the memory of each process. \
                 Pack them with `isograd data pack`"
                    .into(),
            ));
        }
        match how {
            config::Resident::Files => Ok(Self::default()),
            config::Resident::Node => {
                let samples = training.len() + validation.len();
                progress(Holding { samples: 0, of: samples, bytes: 0 });
                let bytes = copy_to_nodes(comm, training)?;
                progress(Holding { samples, of: samples, bytes });
                Ok(Self::default())
            }
            config::Resident::Ranks => {
                let (rank, ranks) = (comm.rank(), comm.size());
                let width = config.data.replica_width.unwrap_or(ranks);
                if !ranks.is_multiple_of(width) {
                    return Err(wrong(format!("replica_width is {width}, which does not divide {ranks} ranks")));
                }
                let mut read = |dataset: &Dataset| Held::read(dataset, rank, width, &mut progress).map(Arc::new);
                let training = Some(read(training)?);
                Ok(Self { training, validation: Some(read(validation)?) })
            }
        }
    }
}

fn wrong(message: String) -> Error {
    Error::Config { place: "data".into(), message }
}
