//! Training shared out over ranks: ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054) as a layer over a
//! [`Communicator`](isograd_backends::comm::Communicator), on any backend.
//!
//! | stage | optimizer states, averages | gradients | weights |
//! |---|---|---|---|
//! | 0 | all | all | all |
//! | 1 | a piece | all, then a piece | all |
//! | 2 | a piece | a piece, as soon as a model stage's are there | all |
//! | 3 | a piece | as in 2 | a piece; those of a model stage are gathered while it runs |
//!
//! Of each stage of the model the parameters in module-path order form one flat vector, padded to a multiple
//! of R, of which rank r owns the r-th of R equal pieces, whatever tensors they cut ([`Layout`]). One vector
//! for each stage and not one for the model: then every rank owns as much of every stage, and each sum and each
//! gathering moves as much over every link.

pub mod agree;
mod gather;
mod layout;
mod reduce;
mod sharded;
mod view;

pub use layout::{Entry, Fragment, Layout};
pub use sharded::{Group, HeldBytes, Sharded};
pub use view::View;
