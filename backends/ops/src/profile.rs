//! What of a device decides how much memory operations take, and how much matrix products take beside tensors.

/// The properties of a device that decide how much memory operations take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Tensors in host memory.
    Cpu {
        /// Threads that work on lanes.
        threads: usize,
    },
    /// wgpu or CUDA.
    Gpu {
        /// Largest page of the memory pool, in bytes.
        largest: u64,
        /// Where tensors in a page begin: at multiples of so many bytes.
        alignment: u64,
    },
}

impl Profile {
    /// An accelerator of 80 GB, a quarter of which is what CUDA's pool takes as its largest page.
    pub const USUAL_GPU: Self = Self::Gpu { largest: 20_000_000_000, alignment: 512 };
}

/// Bytes of a number.
pub const VALUE: u64 = size_of::<f32>() as u64;

/// What matrix products hold for each thread that has made or called one: on the CPU, `gemm` packs into a
/// buffer of the size of the second-level cache.
pub fn packing(profile: Profile) -> u64 {
    match profile {
        Profile::Cpu { .. } => gemm_common::cache::CACHE_INFO[1].cache_bytes as u64,
        Profile::Gpu { .. } => 0,
    }
}

/// What matrix products hold, where the caller and where all threads beside it have made any.
pub fn packings(profile: Profile, [caller, others]: [bool; 2]) -> u64 {
    match profile {
        Profile::Cpu { threads } => (u64::from(caller) + u64::from(others) * threads as u64) * packing(profile),
        Profile::Gpu { .. } => 0,
    }
}

/// Whether the CPU backend makes a product of so many rows, inner elements and columns in parallel; `None` where it does
/// not pack for it.
pub fn is_parallel([rows, inner, columns]: [u64; 3]) -> Option<bool> {
    const PARALLEL: u64 = 192 * 192 * 192;
    (rows > 1 && inner > 2 && columns > 1).then(|| rows.saturating_mul(inner).saturating_mul(columns) >= PARALLEL)
}
