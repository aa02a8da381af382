//! Devices by name: parsing, choosing the backend at run time, and listing what this machine has.

mod list;
mod name;

use crate::memory::MeasuredBackend;
use crate::profile::Profile;

pub use list::{DeviceReport, list};
pub use name::{DeviceName, GraphicsApi};

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The name is not one of the known forms.
    #[error("unknown device `{0}`; expected cpu, wgpu, vulkan, metal or cuda, optionally with an index as in cuda:1")]
    UnknownName(String),
    /// The program was built without the cargo feature that this device needs.
    #[error(
        "device `{device}` needs the cargo feature `{feature}`; rebuild with `cargo build --release --features {feature}`"
    )]
    FeatureOff {
        /// The requested device.
        device: String,
        /// The cargo feature that is off.
        feature: &'static str,
    },
    /// The device is not on this machine, or its driver does not answer.
    #[error("device `{device}` is not available: {reason}; `isograd devices` lists what this machine has")]
    Unavailable {
        /// The requested device.
        device: String,
        /// What is missing.
        reason: String,
    },
}

/// The backend of the device `cpu`.
pub type CpuBackend = burn_flex::Flex;

/// The backend of `wgpu`, `vulkan` and `metal`.
#[cfg(feature = "wgpu")]
pub type WgpuBackend = burn_wgpu::Wgpu;

/// The backend of `cuda`.
#[cfg(feature = "cuda")]
pub type CudaBackend = burn_cuda::Cuda;

/// A slow CPU backend in double precision, which tests hold others against.
#[cfg(feature = "ndarray")]
pub type F64Backend = burn_ndarray::NdArray<f64>;

/// A device of one of the backends, ready to be used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum OpenDevice {
    /// The processor.
    Cpu(<CpuBackend as burn::tensor::backend::BackendTypes>::Device),
    /// A GPU through wgpu.
    #[cfg(feature = "wgpu")]
    Wgpu(burn_wgpu::WgpuDevice),
    /// An NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda(burn_cuda::CudaDevice),
}

/// Looks a device up before Burn touches it, so that a missing driver is an error and not a panic.
///
/// # Errors
/// [`DeviceError`] if the backend is not compiled in or the device is not there.
pub fn open(name: &DeviceName) -> Result<OpenDevice, DeviceError> {
    match name {
        DeviceName::Cpu => Ok(OpenDevice::Cpu(Default::default())),
        #[cfg(feature = "wgpu")]
        DeviceName::Wgpu { api, index } => list::open_wgpu(*api, *index).map(OpenDevice::Wgpu),
        #[cfg(feature = "cuda")]
        DeviceName::Cuda { index } => {
            list::check_cuda(*index)?;
            Ok(OpenDevice::Cuda(burn_cuda::CudaDevice::new(*index)))
        }
        #[allow(unreachable_patterns, reason = "reached only without the features above")]
        other => {
            Err(DeviceError::FeatureOff { device: other.to_string(), feature: other.feature().unwrap_or("default") })
        }
    }
}

/// What of a device decides how much memory operations take.
///
/// # Errors
/// As [`open`]; work can then be planned for [`Profile::USUAL_GPU`].
pub fn profile(name: &DeviceName) -> Result<Profile, DeviceError> {
    Ok(match open(name)? {
        OpenDevice::Cpu(device) => CpuBackend::profile(&device),
        #[cfg(feature = "wgpu")]
        OpenDevice::Wgpu(device) => WgpuBackend::profile(&device),
        #[cfg(feature = "cuda")]
        OpenDevice::Cuda(device) => CudaBackend::profile(&device),
    })
}
