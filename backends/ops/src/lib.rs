//! What a backend must offer a graph network, and every backend's version of it.
//!
//! - [`convolution`]: the fused edge operation of models with tensor features.
//! - [`device`]: a name such as `cpu`, `wgpu:1` or `cuda` becomes a Burn device, chosen at run
//!   time; a list of what is available, and why something is not.
//! - [`dual`]: values with their derivatives along a direction.
//! - [`index`]: edges by receiver and sender, rows in groups.
//! - [`message`]: the fused edge operation of an EGNN layer.
//! - [`value`]: what flows through a model, and the operations that models are written with.
//! - [`kernels`]: the small operations around it: SiLU, gathering and summing rows, AdamW.
//! - [`gradient`]: backward from a given gradient.
//! - [`profile`]: what of a device decides how much memory operations take.
//! - [`sketch`]: a backend of shapes and bytes, which tells how much memory a computation takes.
//! - [`memory`]: bytes in use and their peak, per backend.
//!
//! Nothing here knows what is computed; that is for the crates above.
//!
//! ```
//! use isograd_ops::device::{CpuBackend, OpenDevice, open};
//! use isograd_ops::memory::MeasuredBackend;
//!
//! let OpenDevice::Cpu(device) = open(&"cpu".parse()?)? else { panic!("cpu is a CPU") };
//! println!("{:?}", CpuBackend::profile(&device));
//! # Ok::<(), isograd_ops::device::DeviceError>(())
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod convolution;
pub mod device;
pub mod dual;
pub mod gradient;
pub mod index;
pub mod kernels;
pub mod memory;
pub mod message;
pub mod profile;
pub mod sketch;
pub mod value;

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
mod host;
mod outputs;
mod primitive;
mod simd;
