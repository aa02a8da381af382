//! Isograd trains E(n)-equivariant graph neural networks on atomistic data: the same model on a
//! laptop's CPU, on any GPU through wgpu, and on NVIDIA GPUs through CUDA.
//!
//! This crate is a facade over [`structure`] (structures, units, the neighbour list), [`data`] (files, audit, split,
//! batches), [`core`] (graphs, model, loss, training, runs), [`backends`] (devices, memory) and [`equivariance`]
//! (property tests for any geometric model); the `isograd` command is built on it.
//!
//! # Train, then predict
//! ```
//! use std::sync::Arc;
//!
//! use isograd::backends::device::{RunOn, dispatch};
//! use isograd::backends::memory::MeasuredBackend;
//! use isograd::core::config::Config;
//! use isograd::core::train::{Metrics, train};
//!
//! /// Training is generic over the backend; `dispatch` picks it by name.
//! struct Train(Config);
//! impl RunOn for Train {
//!     type Output = isograd::core::Result<Metrics>;
//!     fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) -> Self::Output {
//!         let finished = train::<B>(&self.0, false, &device, &mut ())?;
//!         Ok(finished.summary.best.validation)
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("dimers.xyz");
//! let frame = |d: f64| {
//!     let (e, f) = ((d - 1.0).powi(2), 2.0 * (d - 1.0));
//!     format!("2\nProperties=species:S:1:pos:R:3:forces:R:3 energy={e}\nH 0 0 0 {f} 0 0\nH {d} 0 0 {} 0 0\n", -f)
//! };
//! std::fs::write(&file, (0..40).map(|k| frame(0.8 + 0.01 * k as f64)).collect::<String>())?;
//!
//! let text = format!(
//!     "[data]\nfiles = [{file:?}]\n[model]\nwidth = 8\nlayers = 1\n[train]\nepochs = 2\n[run]\nout = {:?}\n",
//!     folder.path().join("run"),
//! );
//! let config = Config::parse(&text, &[], "example")?;
//! let device = config.train.device.clone();
//! let metrics = dispatch(&device, Train(config))??;
//! assert!(metrics.force_mae_mev_per_angstrom > 0.0);
//! assert!(folder.path().join("run/report.html").exists());
//! # Ok(())
//! # }
//! ```

pub use isograd_backends as backends;
pub use isograd_core as core;
pub use isograd_data as data;
pub use isograd_equivariance as equivariance;
pub use isograd_structure as structure;
