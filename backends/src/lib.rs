//! What a backend must offer an EGNN, and every backend's version of it.
//!
//! - [`device`]: a name such as `cpu`, `wgpu:1` or `cuda` becomes a Burn device, chosen at run
//!   time; a list of what is available, and why something is not.
//! - [`index`]: edges by receiver and sender, rows in groups.
//! - [`message`]: the fused edge operation of an EGNN layer.
//! - [`kernels`]: the small operations around it: SiLU, gathering and summing rows, AdamW.
//! - [`comm`]: ranks that compute together.
//! - [`gradient`]: backward from a given gradient.
//! - [`memory`]: bytes in use and their peak, per backend.
//!
//! Nothing here knows what is computed; that is `isograd-core`.
//!
//! ```
//! use isograd_backends::device::{DeviceName, dispatch, RunOn};
//! use isograd_backends::memory::MeasuredBackend;
//!
//! struct BackendName;
//! impl RunOn for BackendName {
//!     type Output = String;
//!     fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) -> String {
//!         B::name(&device)
//!     }
//! }
//! let name = dispatch(&"cpu".parse::<DeviceName>().unwrap(), BackendName).unwrap();
//! assert!(name.starts_with("flex"));
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod comm;
pub mod device;
pub mod gradient;
pub mod index;
pub mod kernels;
pub mod memory;
pub mod message;

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
mod host;
mod primitive;
mod simd;
