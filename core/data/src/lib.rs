//! From structure files to batches: formats, a packed store, the audit, the split, reference energies, and the order of
//! an epoch.
//!
//! A [`formats`] reader yields frames as the file has them. A [`Source`] turns each into a structure in eV
//! and angstrom, once. [`audit`] looks at all of them, [`split`] holds some out, [`fit_references`] takes
//! off what elements contribute to energies. [`epoch_order`] and [`pack`] say which batches an epoch has,
//! and a [`Loader`] makes them on background threads.
//!
//! # Example
//! ```
//! use isograd_data::{Source, SplitBy, split};
//! use isograd_structure::Structure;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = "2\nenergy=-1.5 pbc=\"F F F\"\nH 0 0 0\nH 0 0 0.74\n".repeat(10);
//! let frames: Vec<Structure> = Source::default().read(text.as_bytes(), "h2.xyz").collect::<Result<_, _>>()?;
//! assert_eq!(frames[0].energy, Some(-1.5));
//! let (training, validation) = split(frames, &SplitBy::Frame, 0.2, 0, 0)?;
//! assert_eq!((training.len(), validation.len()), (8, 2));
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod audit;
mod batch;
mod bytes;
mod collection;
mod compressed;
mod error;
pub mod formats;
mod known;
mod loader;
mod mixture;
mod output;
mod overview;
mod radius;
mod references;
mod reservoir;
mod sampler;
mod source;
mod split;
mod stated;
pub mod store;
mod suggest;

pub use batch::{HeadRange, HostBatch, HostEdges, HostGraph, batch_order};
pub use bytes::{from_bytes, to_bytes};
pub use collection::{Collection, Stored};
pub use compressed::{Packed, open};
pub use error::{Error, Result};
pub use loader::{BATCHES_OF_WORKER, Loader, MakeBatch};
pub use mixture::{Mixture, Sampling};
pub use output::Output;
pub use overview::{Distribution, Field, GraphSizes, Overview, overview};
pub use radius::radius_graph;
pub use references::{Fit, ReferenceSums, References, fit_references};
pub use sampler::{Batches, Budget, Measured, Place, Sizes, cut, epoch_order, pack, share};
pub use source::{ColumnKey, Keys, Source};
pub use split::{SplitBy, split};
pub use suggest::{Suggestion, suggest_keys, unread_mask, unread_states};
