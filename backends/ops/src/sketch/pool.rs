//! The memory pool of wgpu and CUDA without the memory: cubecl's own, on pages that are only counted. Tensors of a kind of
//! sizes share pages, and pages are not given back, so that a pool holds more than its tensors.

use std::fmt;
use std::sync::Arc;

use cubecl_ir::MemoryDeviceProperties;
use cubecl_runtime::logging::ServerLogger;
use cubecl_runtime::memory_management::{
    ManagedMemoryHandle, MemoryConfiguration, MemoryManagement, MemoryManagementOptions,
};
use cubecl_runtime::server::IoError;
use cubecl_runtime::storage::{ComputeStorage, StorageHandle, StorageId, StorageUtilization};

/// A share of a page, until it is dropped.
#[derive(Debug)]
pub(super) struct Slice {
    _handle: Option<ManagedMemoryHandle>,
}

/// Pages, and what of them is taken.
pub(super) struct Pool {
    pages: MemoryManagement<Pages>,
    /// Bytes that were asked for at once and that no page holds.
    beyond: u64,
}

impl Pool {
    /// Without any pages. `largest` is the device's largest page; slices begin at multiples of `alignment`.
    pub(super) fn new(largest: u64, alignment: u64) -> Self {
        let properties = MemoryDeviceProperties { max_page_size: largest, alignment };
        let pages = MemoryManagement::from_configuration(
            Pages { alignment },
            &properties,
            MemoryConfiguration::SubSlices,
            Arc::new(ServerLogger::default()),
            MemoryManagementOptions::new("sketch"),
        );
        Self { pages, beyond: 0 }
    }

    /// Takes so many bytes, from a new page where those that are there have no room.
    pub(super) fn take(&mut self, bytes: u64) -> Slice {
        let handle = self.pages.reserve(bytes).ok();
        if handle.is_none() {
            self.beyond += bytes;
        }
        Slice { _handle: handle }
    }

    /// Bytes of all pages.
    pub(super) fn reserved(&self) -> u64 {
        self.pages.memory_usage().bytes_reserved + self.beyond
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("reserved", &self.reserved()).finish_non_exhaustive()
    }
}

/// Pages without memory.
struct Pages {
    alignment: u64,
}

impl ComputeStorage for Pages {
    type Resource = ();

    fn alignment(&self) -> usize {
        self.alignment as usize
    }

    fn get(&mut self, _handle: &StorageHandle) {}

    fn alloc(&mut self, size: u64) -> Result<StorageHandle, IoError> {
        Ok(StorageHandle::new(StorageId::new(), StorageUtilization { offset: 0, size }))
    }

    fn dealloc(&mut self, _id: StorageId) {}

    fn flush(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_of_like_sizes_share_pages() {
        const MIB: u64 = 1 << 20;
        // Pages of 16 MiB for tensors of up to 4 MiB, and of 64 MiB for larger ones.
        let mut pool = Pool::new(256 * MIB, 256);
        let small = pool.take(3 * MIB);
        assert_eq!(pool.reserved(), 16 * MIB);
        let others = [(); 4].map(|()| pool.take(3 * MIB));
        assert_eq!(pool.reserved(), 16 * MIB);
        let large = pool.take(20 * MIB);
        assert_eq!(pool.reserved(), 80 * MIB);
        drop((small, others, large));
        let _again = pool.take(20 * MIB);
        assert_eq!(pool.reserved(), 80 * MIB, "pages stay, and are filled again");
        let _beyond = pool.take(1024 * MIB);
        assert_eq!(pool.reserved(), 1104 * MIB);
    }
}
