//! Devices by name: parsing, choosing the backend at run time, and listing what this machine has.

mod list;
mod name;

use crate::memory::MeasuredBackend;
use crate::message::scratch::Profile;

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

/// Work that is generic over the backend and runs on the one that a [`DeviceName`] selects.
pub trait RunOn {
    /// What the work returns.
    type Output;

    /// Does the work on `device` of backend `B` (without autodiff; wrap it where gradients are
    /// needed).
    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) -> Self::Output;
}

/// Runs `work` on the backend and device that `name` selects.
///
/// # Errors
/// [`DeviceError`] if the backend is not compiled in or the device is not there; the device is
/// looked up before Burn touches it, so that a missing driver is an error and not a panic.
pub fn dispatch<W: RunOn>(name: &DeviceName, work: W) -> Result<W::Output, DeviceError> {
    match name {
        DeviceName::Cpu => Ok(work.run::<burn_flex::Flex>(Default::default())),
        #[cfg(feature = "wgpu")]
        DeviceName::Wgpu { api, index } => {
            let device = list::open_wgpu(*api, *index)?;
            Ok(work.run::<burn_wgpu::Wgpu>(device))
        }
        #[cfg(feature = "cuda")]
        DeviceName::Cuda { index } => {
            list::check_cuda(*index)?;
            Ok(work.run::<burn_cuda::Cuda>(burn_cuda::CudaDevice::new(*index)))
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
/// As [`dispatch`]; work can then be planned for [`Profile::USUAL_GPU`].
pub fn profile(name: &DeviceName) -> Result<Profile, DeviceError> {
    struct Of;
    impl RunOn for Of {
        type Output = Profile;
        fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) -> Profile {
            B::profile(&device)
        }
    }
    dispatch(name, Of)
}
