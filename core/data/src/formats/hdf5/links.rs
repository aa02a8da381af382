//! The links of an old group, measured before they are listed. A tree leads to nodes of links, and each link to its name in
//! a heap. Where a damaged or hostile file leads to the same nodes or names time and again, their list would fill the
//! memory, however short the file is. So all names together may not be longer than the heap in which each stands once.

use hdf5_reader::btree_v1::collect_btree_v1_leaves_storage;
use hdf5_reader::error::{Error, Result};
use hdf5_reader::group::Group;
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::symbol_table::SymbolTableNode;
use hdf5_reader::{Hdf5File, StorageBuffer};

/// Refuses a group that lists more than its heap of names holds.
pub(super) fn check_links(file: &Hdf5File, group: &Group) -> Result<()> {
    let header = file.get_or_parse_header(group.address())?;
    header.messages.iter().try_for_each(|message| match message {
        HdfMessage::SymbolTable(table) => check_table(group, table),
        _ => Ok(()),
    })
}

fn check_table(group: &Group, table: &SymbolTableMessage) -> Result<()> {
    let (storage, offset, length) = (group.storage(), group.offset_size(), group.length_size());
    let nodes = collect_btree_v1_leaves_storage(storage, table.btree_address, offset, length, None, &[], None)?;
    if nodes.is_empty() {
        return Ok(());
    }
    let heap = LocalHeap::parse_at_storage(storage, table.heap_address, offset, length)?;
    let size = usize::try_from(heap.data_segment_size).unwrap_or(usize::MAX);
    let mut names: Option<StorageBuffer> = None;
    let mut listed = 0;
    for (_, node) in nodes {
        let head = storage.read_range(node, 8)?;
        let count = u16::from_le_bytes([head[6], head[7]]);
        // A link is two addresses and 24 bytes more.
        let bytes = 8 + usize::from(count) * (2 * usize::from(offset) + 24);
        if count == 0 {
            continue;
        }
        if names.is_none() {
            names = Some(storage.read_range(heap.data_segment_address, size)?);
        }
        let names = names.as_deref().unwrap_or_default();
        let node = storage.read_range(node, bytes)?;
        for link in SymbolTableNode::parse(&mut Cursor::new(&node), offset, length)?.entries {
            let start = usize::try_from(link.link_name_offset).unwrap_or(usize::MAX);
            let name = names.get(start..).unwrap_or_default();
            listed += name.iter().take_while(|&&byte| byte != 0).count() as u64 + 1;
            if listed > heap.data_segment_size {
                return Err(Error::InvalidData("it lists the same names more than once".into()));
            }
        }
    }
    Ok(())
}
