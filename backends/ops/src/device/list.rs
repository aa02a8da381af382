//! What devices this machine has, found without initialising a compute backend.

use serde::Serialize;

#[cfg(any(feature = "wgpu", feature = "cuda"))]
use super::DeviceError;
use super::{DeviceName, GraphicsApi};

/// One line of `isograd devices`.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// The name to give to `--device`.
    pub device: String,
    /// Whether a run can start on it.
    pub available: bool,
    /// What it is: processor, adapter and driver.
    pub description: String,
    /// Why it is not available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Lists every device of every backend, also those that are not available, with the reason.
pub fn list() -> Vec<DeviceReport> {
    let mut reports = vec![cpu()];
    reports.extend(wgpu_reports());
    reports.extend(cuda_reports());
    reports
}

fn cpu() -> DeviceReport {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    DeviceReport {
        device: "cpu".into(),
        available: true,
        description: format!("{}, {threads} threads{}", std::env::consts::ARCH, vector_width()),
        reason: None,
    }
}

fn vector_width() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return ", AVX-512";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return ", AVX2";
        }
    }
    ""
}

#[cfg(any(not(feature = "wgpu"), not(feature = "cuda")))]
fn not_compiled(device: &str, feature: &str) -> Vec<DeviceReport> {
    vec![DeviceReport {
        device: device.into(),
        available: false,
        description: String::new(),
        reason: Some(format!("built without the cargo feature `{feature}`")),
    }]
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_reports() -> Vec<DeviceReport> {
    not_compiled("wgpu", "wgpu")
}

#[cfg(feature = "wgpu")]
fn wgpu_reports() -> Vec<DeviceReport> {
    let adapters = adapters(GraphicsApi::Auto);
    if adapters.is_empty() {
        return vec![DeviceReport {
            device: "wgpu".into(),
            available: false,
            description: String::new(),
            reason: Some(NO_ADAPTER.into()),
        }];
    }
    adapters
        .iter()
        .enumerate()
        .map(|(index, info)| DeviceReport {
            device: format!("wgpu:{index}"),
            available: true,
            description: format!(
                "{} ({}, {}{}{})",
                info.name,
                format!("{:?}", info.device_type).to_lowercase(),
                format!("{:?}", info.backend).to_lowercase(),
                if info.driver.is_empty() { "" } else { ", " },
                [info.driver.as_str(), info.driver_info.as_str()].join(" ").trim(),
            ),
            reason: None,
        })
        .collect()
}

#[cfg(feature = "wgpu")]
const NO_ADAPTER: &str = "no Vulkan, Metal or DirectX 12 adapter; install the GPU's driver, or a software one \
                          (Debian, Ubuntu: mesa-vulkan-drivers and libvulkan1)";

#[cfg(feature = "wgpu")]
fn adapters(api: GraphicsApi) -> Vec<wgpu::AdapterInfo> {
    let backends = match api {
        GraphicsApi::Vulkan => wgpu::Backends::VULKAN,
        GraphicsApi::Metal => wgpu::Backends::METAL,
        GraphicsApi::Auto if cfg!(target_os = "macos") => wgpu::Backends::METAL,
        GraphicsApi::Auto => wgpu::Backends::VULKAN | wgpu::Backends::DX12,
    };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(backends)).iter().map(wgpu::Adapter::get_info).collect()
}

/// Positions of the real GPUs among the adapters.
fn wgpu_gpus(api: GraphicsApi) -> Vec<usize> {
    #[cfg(feature = "wgpu")]
    {
        let is_real = |info: &wgpu::AdapterInfo| info.device_type != wgpu::DeviceType::Cpu;
        let all = adapters(api).into_iter().enumerate();
        all.filter(|(_, info)| is_real(info)).map(|(index, _)| index).collect()
    }
    #[cfg(not(feature = "wgpu"))]
    {
        let _ = api;
        Vec::new()
    }
}

/// Number of NVIDIA GPUs that can be used.
fn cuda_gpus() -> usize {
    cuda_reports().iter().filter(|report| report.available).count()
}

/// The device of one of the ranks of a node, where no index was given: they take its GPUs in turn.
pub(super) fn device_of_rank(name: &DeviceName, local_rank: usize) -> DeviceName {
    match name {
        DeviceName::Cuda { index: 0 } => DeviceName::Cuda { index: local_rank % cuda_gpus().max(1) },
        DeviceName::Wgpu { api, index: None } => {
            let gpus = wgpu_gpus(*api);
            let index = if gpus.len() > 1 { Some(gpus[local_rank % gpus.len()]) } else { None };
            DeviceName::Wgpu { api: *api, index }
        }
        other => other.clone(),
    }
}

/// The Burn device of the adapter at `index`, or of the first real GPU, or of a software driver.
#[cfg(feature = "wgpu")]
pub(super) fn open_wgpu(api: GraphicsApi, index: Option<usize>) -> Result<burn_wgpu::WgpuDevice, DeviceError> {
    use burn_wgpu::{WgpuDevice, graphics};
    use wgpu::DeviceType;

    let name = super::DeviceName::Wgpu { api, index }.to_string();
    let adapters = adapters(api);
    let unavailable = |reason: String| DeviceError::Unavailable { device: name.clone(), reason };
    if adapters.is_empty() {
        return Err(unavailable(NO_ADAPTER.into()));
    }
    let index = index
        .unwrap_or_else(|| adapters.iter().position(|info| info.device_type != DeviceType::Cpu).unwrap_or_default());
    let info = adapters
        .get(index)
        .ok_or_else(|| unavailable(format!("there are {} adapters, counted from 0", adapters.len())))?;
    // Burn counts adapters within their type; `Other` shares the count of discrete ones there.
    let position = adapters[..index].iter().filter(|other| other.device_type == info.device_type).count();
    let device = match info.device_type {
        DeviceType::Cpu => WgpuDevice::Cpu,
        DeviceType::IntegratedGpu => WgpuDevice::IntegratedGpu(position),
        DeviceType::VirtualGpu => WgpuDevice::VirtualGpu(position),
        DeviceType::DiscreteGpu | DeviceType::Other => WgpuDevice::DiscreteGpu(position),
    };
    // A device can be set up once in a process; the first use decides its graphics interface.
    static READY: std::sync::Mutex<Vec<WgpuDevice>> = std::sync::Mutex::new(Vec::new());
    let mut ready = READY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !ready.contains(&device) {
        match api {
            GraphicsApi::Auto => burn_wgpu::init_setup::<graphics::AutoGraphicsApi>(&device, Default::default()),
            GraphicsApi::Vulkan => burn_wgpu::init_setup::<graphics::Vulkan>(&device, Default::default()),
            GraphicsApi::Metal => burn_wgpu::init_setup::<graphics::Metal>(&device, Default::default()),
        };
        ready.push(device.clone());
    }
    Ok(device)
}

#[cfg(not(feature = "cuda"))]
fn cuda_reports() -> Vec<DeviceReport> {
    not_compiled("cuda", "cuda")
}

#[cfg(feature = "cuda")]
fn cuda_reports() -> Vec<DeviceReport> {
    match cuda_devices() {
        Ok(names) => names
            .into_iter()
            .enumerate()
            .map(|(index, description)| DeviceReport {
                device: format!("cuda:{index}"),
                available: true,
                description,
                reason: None,
            })
            .collect(),
        Err(reason) => vec![DeviceReport {
            device: "cuda".into(),
            available: false,
            description: String::new(),
            reason: Some(reason),
        }],
    }
}

/// The names of the NVIDIA GPUs, or why CUDA cannot run here.
#[cfg(feature = "cuda")]
#[allow(unsafe_code, reason = "asking whether a shared library can be loaded")]
fn cuda_devices() -> Result<Vec<String>, String> {
    use cudarc::driver::result;

    // SAFETY: both calls only try to open a shared library by name and close it again.
    let (driver, compiler) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    if !driver {
        return Err("the NVIDIA driver (libcuda) is not installed".into());
    }
    if !compiler {
        return Err("the CUDA run-time compiler (libnvrtc) is not installed".into());
    }
    let failed = |error: result::DriverError| format!("the NVIDIA driver reports {error}");
    result::init().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    if count == 0 {
        return Err("the NVIDIA driver finds no GPU".into());
    }
    (0..count).map(|index| result::device::get(index).and_then(result::device::get_name).map_err(failed)).collect()
}

#[cfg(feature = "cuda")]
pub(super) fn check_cuda(index: usize) -> Result<(), DeviceError> {
    let unavailable = |reason| DeviceError::Unavailable { device: format!("cuda:{index}"), reason };
    let devices = cuda_devices().map_err(unavailable)?;
    if index >= devices.len() {
        return Err(unavailable(format!("there are {} NVIDIA GPUs, counted from 0", devices.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there_and_absence_has_a_reason() {
        let reports = list();
        assert!(reports.iter().any(|report| report.device == "cpu" && report.available));
        for report in reports {
            assert_eq!(report.available, report.reason.is_none(), "{report:?}");
        }
    }
}
