//! Training shared out over ranks: ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054) as a layer over a
//! [`Communicator`](isograd_comm::Communicator), on any backend.
//!
//! | level | optimizer states, averages | gradients | weights |
//! |---|---|---|---|
//! | 0, [`Zero::Off`] | all | all | all |
//! | 1, [`Zero::States`] | a piece | all, then a piece | all |
//! | 2, [`Zero::Gradients`] | a piece | a piece, as soon as a block's are there | all |
//! | 3, [`Zero::Weights`] | a piece | as in 2 | a piece; those of a block are gathered while it runs |
//!
//! A piece is cut as [`Layout`](crate::Layout) says. Every rank owns an equal share of every block, and all links
//! carry equal traffic.

mod gather;
mod level;
mod reduce;
mod sharded;
mod view;

pub use level::Zero;
pub use sharded::{Group, HeldBytes, Sharded, Train};
pub use view::View;
