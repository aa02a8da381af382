//! Bytes in use and their peak, per backend.
//!
//! On the CPU the numbers come from [`CountingAllocator`], which the program installs as its
//! global allocator; on a GPU from the backend's own memory pool.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use burn::backend::Autodiff;
use mimalloc::MiMalloc;

use crate::message::MessageBackend;
use crate::profile::Profile;

/// A backend that can tell how much memory its tensors take.
pub trait MeasuredBackend: MessageBackend {
    /// The largest number of bytes held so far (CPU: since [`reset_peak`]; GPU: reserved by the
    /// pool, which only grows), or `None` where the backend cannot tell.
    fn peak_bytes(_device: &Self::Device) -> Option<u64> {
        None
    }

    /// What of the device decides how much memory operations take.
    fn profile(device: &Self::Device) -> Profile;
}

impl MeasuredBackend for burn_flex::Flex {
    fn profile(_device: &Self::Device) -> Profile {
        Profile::Cpu { threads: rayon::current_num_threads() }
    }

    fn peak_bytes(_device: &Self::Device) -> Option<u64> {
        (PEAK.load(Relaxed) > 0).then(|| PEAK.load(Relaxed).saturating_sub(BASE.load(Relaxed)) as u64)
    }
}

#[cfg(feature = "wgpu")]
impl MeasuredBackend for burn_wgpu::Wgpu {
    fn profile(device: &Self::Device) -> Profile {
        use cubecl::Runtime;
        let client = burn_wgpu::WgpuRuntime::client(device);
        let memory = &client.properties().memory;
        Profile::Gpu { largest: memory.max_page_size, alignment: memory.alignment }
    }

    fn peak_bytes(device: &Self::Device) -> Option<u64> {
        use cubecl::Runtime;
        burn_wgpu::WgpuRuntime::client(device).memory_usage().ok().map(|usage| usage.bytes_reserved)
    }
}

#[cfg(feature = "cuda")]
impl MeasuredBackend for burn_cuda::Cuda {
    fn profile(device: &Self::Device) -> Profile {
        use cubecl::Runtime;
        let client = cubecl::cuda::CudaRuntime::client(device);
        let memory = &client.properties().memory;
        Profile::Gpu { largest: memory.max_page_size, alignment: memory.alignment }
    }

    fn peak_bytes(device: &Self::Device) -> Option<u64> {
        use cubecl::Runtime;
        cubecl::cuda::CudaRuntime::client(device).memory_usage().ok().map(|usage| usage.bytes_reserved)
    }
}

impl<B: MeasuredBackend> MeasuredBackend for Autodiff<B> {
    fn peak_bytes(device: &Self::Device) -> Option<u64> {
        B::peak_bytes(device)
    }

    fn profile(device: &Self::Device) -> Profile {
        B::profile(device)
    }
}

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static BASE: AtomicUsize = AtomicUsize::new(0);

/// Starts a new measurement on the CPU: what is allocated now counts as zero.
pub fn reset_peak() {
    let live = LIVE.load(Relaxed);
    BASE.store(live, Relaxed);
    PEAK.store(live, Relaxed);
}

/// An allocator that counts live bytes and their peak. It is mimalloc beneath, because the tensors of a
/// training step come and go in the same sizes: the system's gives large ones back to the kernel each
/// time and gets them anew page by page.
///
/// ```
/// use isograd_ops::memory::CountingAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator;
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Copy)]
pub struct CountingAllocator;

/// mimalloc's option of how many milliseconds freed memory waits until it goes back to the system; the
/// bindings do not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

impl CountingAllocator {
    /// From now on what is freed stays with the process, which then holds its peak to its end. The next
    /// training step asks for the same again: given back after a second, as is the default, its pages
    /// have to be cleared by the system each time, which takes a fifth of a step with millions of edges.
    #[allow(unsafe_code, reason = "a setting of mimalloc")]
    pub fn keep_freed_memory(self) {
        // SAFETY: sets an integer; mimalloc allows it at any time.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    }

    /// What is called, with the number of bytes, when the system refuses memory. It must not allocate, and
    /// should end the process: an abort follows. Only the first call of this counts.
    pub fn on_exhaustion(call: fn(usize)) {
        let _ = EXHAUSTED.set(call);
    }
}

static EXHAUSTED: OnceLock<fn(usize)> = OnceLock::new();

/// Counts an allocation, which failed where the pointer is null.
fn grown(pointer: *mut u8, bytes: usize, size: usize) -> *mut u8 {
    if !pointer.is_null() {
        grow(bytes);
    } else if let Some(call) = EXHAUSTED.get() {
        call(size);
    }
    pointer
}

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    if live > PEAK.load(Relaxed) {
        PEAK.fetch_max(live, Relaxed);
    }
}

fn shrink(bytes: usize) {
    LIVE.fetch_sub(bytes, Relaxed);
}

// SAFETY: every call is passed on to mimalloc unchanged; only counters are kept beside it.
#[allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps GlobalAlloc's contract, which is mimalloc's.
        let pointer = unsafe { MiMalloc.alloc(layout) };
        grown(pointer, layout.size(), layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let pointer = unsafe { MiMalloc.alloc_zeroed(layout) };
        grown(pointer, layout.size(), layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) };
        shrink(layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let new_pointer = unsafe { MiMalloc.realloc(pointer, layout, new_size) };
        if !new_pointer.is_null() {
            shrink(layout.size().saturating_sub(new_size));
        }
        grown(new_pointer, new_size.saturating_sub(layout.size()), new_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    #[allow(unsafe_code, reason = "reads a setting of mimalloc")]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads an integer. No other option near it has this default, a second.
        assert_eq!(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }, 1000);
    }

    #[test]
    fn the_peak_includes_what_was_freed_again() {
        reset_peak();
        let block = vec![1u8; 1 << 24];
        drop(block);
        let peak = burn_flex::Flex::peak_bytes(&Default::default()).unwrap();
        assert!(peak >= 1 << 24, "{peak}");
        assert!(peak < 1 << 25, "{peak}");
    }
}
