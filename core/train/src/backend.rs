//! The backend is chosen by the name of a device, once.

use isograd_comm::RankBackend;
use isograd_models::ModelBackend;
use isograd_ops::device::{CpuBackend, DeviceError, DeviceName, OpenDevice, open};
use isograd_ops::memory::MeasuredBackend;

/// A backend that models are trained on.
pub trait Backend: MeasuredBackend + ModelBackend + RankBackend {}

impl<B: MeasuredBackend + ModelBackend + RankBackend> Backend for B {}

/// Work that is generic over the backend and runs on the one that a [`DeviceName`] selects.
pub trait RunOn {
    /// What the work returns.
    type Output;

    /// Does the work on `device` of backend `B`, which is without autodiff.
    fn run<B: Backend>(self, device: B::Device) -> Self::Output;
}

/// Runs `work` on the backend and device that `name` selects.
///
/// # Errors
/// [`DeviceError`] if the backend is not compiled in or the device is not there.
pub fn dispatch<W: RunOn>(name: &DeviceName, work: W) -> Result<W::Output, DeviceError> {
    match open(name)? {
        OpenDevice::Cpu(device) => Ok(work.run::<CpuBackend>(device)),
        #[cfg(feature = "wgpu")]
        OpenDevice::Wgpu(device) => Ok(work.run::<isograd_ops::device::WgpuBackend>(device)),
        #[cfg(feature = "cuda")]
        OpenDevice::Cuda(device) => Ok(work.run::<isograd_ops::device::CudaBackend>(device)),
        #[allow(unreachable_patterns, reason = "reached only where features of crates differ")]
        _ => Err(DeviceError::FeatureOff { device: name.to_string(), feature: name.feature().unwrap_or("default") }),
    }
}
