//! The file of an LMDB database: its pages, and the value of a key.
//!
//! All numbers are little-endian, and 8 bytes wide where they count pages. A page has a header of 16 bytes: its own number,
//! 2 bytes of padding, 2 of flags, and then either the two ends of its free space (2 bytes each) or a count of pages (4).
//!
//! | page | holds |
//! |---|---|
//! | meta, the first two | magic, version, page size, and root, depth and number of entries of the tree; the later transaction counts |
//! | branch | keys in order, each with the number of the page below that begins with it; the first key is empty |
//! | leaf | keys in order, each with its value, or with the first of the pages that its value fills |
//! | overflow | one value, on as many pages as it takes, with one header |
//!
//! The offsets of the nodes of a branch or a leaf follow its header; the nodes lie at its end. Pages that belong to no tree
//! are free, and hold whatever they held before.
//!
//! Why not the C library: it maps the file into memory and follows what it finds there, so that a damaged file is a crash,
//! or a wrong answer. Here each page is checked before it is used: it says the number that it was asked for, its nodes lie
//! within it, apart from each other and in order, and what they point to lies within the file. A walk from the root takes as
//! many steps as the meta page says, 32 at most, so that a cycle is no endless loop. Nothing is locked, written or mapped.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

/// What follows the header of a meta page: the magic number, and the version of the format.
const MAGIC: [u8; 4] = 0xbeef_c0de_u32.to_le_bytes();
const VERSION: u32 = 1;
/// Bytes of a page's header, and of a meta page in all.
const HEADER: usize = 16;
const META: usize = 152;
/// No page, where a root is expected.
const NO_PAGE: u64 = u64::MAX;
/// The longest way from a root to a leaf.
const DEEPEST: u16 = 32;
/// Bytes of the pages that are kept.
const CACHE: usize = 4 << 20;

/// Flags of a page that say what it is, and their values.
const PAGE_KIND: u16 = 0x6f;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const META_PAGE: u16 = 8;
/// Flags of a leaf's node: its value fills pages of its own, it is a database, it has several values.
const BIG: u16 = 1;
const DATABASE: u16 = 2;
const SEVERAL: u16 = 4;

/// Whether a file begins as a database does, of whatever word size and byte order.
pub(super) fn recognises(start: &[u8]) -> bool {
    let reversed: Vec<u8> = MAGIC.iter().rev().copied().collect();
    [HEADER, HEADER - 4].iter().any(|&at| start.get(at..at + 4).is_some_and(|word| word == MAGIC || word == reversed))
}

/// What a meta page says of the tree.
#[derive(Debug, Clone, Copy)]
struct Meta {
    page_size: usize,
    flags: u16,
    depth: u16,
    entries: u64,
    root: u64,
    last_page: u64,
    transaction: u64,
}

/// An open database: its values, by key.
pub(super) struct Database<R> {
    source: R,
    /// Bytes of the file.
    length: u64,
    meta: Meta,
    /// A page of number `n` is kept in slot `n` modulo their count.
    cache: Vec<Option<Page>>,
}

/// A branch or a leaf, checked.
struct Page {
    number: u64,
    leaf: bool,
    bytes: Vec<u8>,
    nodes: Vec<Node>,
}

struct Node {
    key: Range<usize>,
    holds: Holds,
}

/// What stands behind a key.
enum Holds {
    /// The page below, of a branch.
    Page(u64),
    /// The value, within the leaf.
    Bytes(Range<usize>),
    /// The value, of so many bytes, on pages from this one on.
    Pages(u64, usize),
}

impl<R: Read + Seek> Database<R> {
    /// Opens a database.
    ///
    /// # Errors
    /// What is wrong with its first two pages, or why they cannot be read.
    pub(super) fn open(mut source: R) -> Result<Self, String> {
        let length = source.seek(SeekFrom::End(0)).map_err(|error| format!("cannot find its end: {error}"))?;
        let first = bytes_at(&mut source, length, 0, META).and_then(|page| meta(&page));
        let first = first.map_err(|message| format!("page 0: {message}"))?;
        let second = bytes_at(&mut source, length, first.page_size as u64, META).and_then(|page| meta(&page));
        let second = second.map_err(|message| format!("page 1: {message}"))?;
        let meta = if second.transaction > first.transaction { second } else { first };
        if second.page_size != first.page_size {
            return Err(format!("has pages of {} and of {} bytes", first.page_size, second.page_size));
        }
        if meta.flags & 0x7f != 0 {
            return Err(format!(
                "has keys of flags {:#x}, expected plain keys with one value each (no MDB_DUPSORT, no MDB_INTEGERKEY)",
                meta.flags & 0x7f
            ));
        }
        if meta.depth > DEEPEST || (meta.depth == 0) != (meta.root == NO_PAGE) {
            return Err(format!("has a tree of depth {} with its root on page {}", meta.depth, meta.root));
        }
        let slots = CACHE / meta.page_size;
        Ok(Self { source, length, meta, cache: std::iter::repeat_with(|| None).take(slots).collect() })
    }

    /// How many keys it has, as it says.
    pub(super) fn entries(&self) -> u64 {
        self.meta.entries
    }

    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// What is damaged on the way to it.
    pub(super) fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Some(leaf) = self.leaf(|page| page.child(key))? else { return Ok(None) };
        let Ok(place) = leaf.nodes.binary_search_by(|node| leaf.key(node).cmp(key)) else {
            return Ok(None);
        };
        match &leaf.nodes[place].holds {
            Holds::Bytes(range) => Ok(Some(leaf.bytes[range.clone()].to_vec())),
            &Holds::Pages(first, size) => self.overflow(first, size).map(Some),
            Holds::Page(_) => Err(format!("page {}: a leaf with a page below it", leaf.number)),
        }
    }

    /// Up to so many of its keys, from the first one on.
    ///
    /// # Errors
    /// What is damaged on the way to them.
    pub(super) fn first_keys(&mut self, count: usize) -> Result<Vec<String>, String> {
        let Some(leaf) = self.leaf(|page| page.nodes.first())? else { return Ok(Vec::new()) };
        Ok(leaf.nodes.iter().take(count).map(|node| leaf.shown(node)).collect())
    }

    /// The leaf that a walk ends at, which chooses a node of each branch.
    fn leaf(&mut self, choose: impl Fn(&Page) -> Option<&Node>) -> Result<Option<&Page>, String> {
        let Meta { root, depth, .. } = self.meta;
        let mut number = root;
        for _ in 1..depth {
            let page = self.page(number, false)?;
            let Some(Node { holds: Holds::Page(below), .. }) = choose(page) else {
                return Err(format!("page {number}: a branch without pages below it"));
            };
            number = *below;
        }
        if depth == 0 { Ok(None) } else { self.page(number, true).map(Some) }
    }

    /// A branch or a leaf.
    fn page(&mut self, number: u64, leaf: bool) -> Result<&Page, String> {
        let slot = (number % self.cache.len() as u64) as usize;
        let page = match self.cache[slot].take().filter(|page| page.number == number) {
            Some(page) => page,
            None => {
                let bytes = self.bytes(number, 0, self.meta.page_size)?;
                Page::new(number, bytes).map_err(|message| format!("page {number}: {message}"))?
            }
        };
        if page.leaf != leaf {
            let (is, expected) = if leaf { ("branch", "leaf") } else { ("leaf", "branch") };
            return Err(format!("page {number} is a {is} where the tree has a {expected}"));
        }
        Ok(self.cache[slot].insert(page))
    }

    /// A value on pages of its own.
    fn overflow(&mut self, first: u64, size: usize) -> Result<Vec<u8>, String> {
        let wrong = |message: String| format!("page {first}: {message}");
        let header = self.bytes(first, 0, HEADER)?;
        let kind = u16_at(&header, 10) & PAGE_KIND;
        let (number, pages) = (u64_at(&header, 0), u64::from(u32_at(&header, 12)));
        if number != first || kind != OVERFLOW {
            return Err(wrong(format!("expected a value, found page {number} of flags {kind:#x}")));
        }
        let needed = (HEADER + size).div_ceil(self.meta.page_size) as u64;
        if pages < needed || first.checked_add(needed - 1).is_none_or(|last| last > self.meta.last_page) {
            return Err(wrong(format!("a value of {size} bytes on {pages} pages, up to page {}", self.meta.last_page)));
        }
        self.bytes(first, HEADER, size)
    }

    /// Bytes of a page, and of what follows it.
    fn bytes(&mut self, number: u64, from: usize, count: usize) -> Result<Vec<u8>, String> {
        if !(2..=self.meta.last_page).contains(&number) {
            return Err(format!("points to page {number}, expected one from 2 to {}", self.meta.last_page));
        }
        let at = number.checked_mul(self.meta.page_size as u64).and_then(|at| at.checked_add(from as u64));
        bytes_at(&mut self.source, self.length, at.unwrap_or(u64::MAX), count)
            .map_err(|message| format!("page {number}: {message}"))
    }
}

/// Bytes of the file, if it has them.
fn bytes_at<R: Read + Seek>(source: &mut R, length: u64, at: u64, count: usize) -> Result<Vec<u8>, String> {
    if at.checked_add(count as u64).is_none_or(|end| end > length) {
        return Err(format!("lies beyond the {length} bytes of the file: is it complete?"));
    }
    let mut bytes = vec![0; count];
    let read = source.seek(SeekFrom::Start(at)).and_then(|_| source.read_exact(&mut bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    Ok(bytes)
}

/// A meta page.
fn meta(page: &[u8]) -> Result<Meta, String> {
    if page[HEADER..HEADER + 4] != MAGIC {
        return Err("no page of an LMDB database of 64 bits, little-endian: was it written on another machine?".into());
    }
    let (kind, version, page_size) = (u16_at(page, 10) & PAGE_KIND, u32_at(page, 20), u32_at(page, 40) as usize);
    if kind != META_PAGE || version != VERSION {
        return Err(format!(
            "of flags {kind:#x} and version {version}, expected {META_PAGE:#x} and {VERSION} (LMDB 0.9)"
        ));
    }
    if !page_size.is_power_of_two() || !(512..=32768).contains(&page_size) {
        return Err(format!("expected a page size from 512 to 32768, found {page_size}"));
    }
    Ok(Meta {
        page_size,
        flags: u16_at(page, 92),
        depth: u16_at(page, 94),
        entries: u64_at(page, 120),
        root: u64_at(page, 128),
        last_page: u64_at(page, 136),
        transaction: u64_at(page, 144),
    })
}

impl Page {
    /// A branch or a leaf, if it can be one.
    fn new(number: u64, bytes: Vec<u8>) -> Result<Self, String> {
        let (own, kind) = (u64_at(&bytes, 0), u16_at(&bytes, 10) & PAGE_KIND);
        let [lower, upper] = [12, 14].map(|at| usize::from(u16_at(&bytes, at)));
        if own != number || !matches!(kind, BRANCH | LEAF) {
            return Err(format!("expected a branch or a leaf, found page {own} of flags {kind:#x}"));
        }
        if lower < HEADER || lower > upper || upper > bytes.len() {
            return Err(format!("its free space is from byte {lower} to {upper} of {}", bytes.len()));
        }
        let offsets = bytes[HEADER..lower].as_chunks::<2>().0.iter().map(|&word| usize::from(u16::from_le_bytes(word)));
        let mut places = Vec::with_capacity(offsets.len());
        let mut nodes = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let found = if offset < upper { None } else { node(&bytes, offset, kind == LEAF)? };
            let (node, end) = found.ok_or_else(|| format!("its node at byte {offset} does not fit"))?;
            places.push(offset..end);
            nodes.push(node);
        }
        places.sort_unstable_by_key(|place| place.start);
        if let Some(pair) = places.windows(2).find(|pair| pair[0].end > pair[1].start) {
            return Err(format!("its nodes at bytes {} and {} overlap", pair[0].start, pair[1].start));
        }
        let page = Self { number, leaf: kind == LEAF, bytes, nodes };
        // The first key of a branch stands for whatever is smaller than the second.
        let keys = if page.leaf { &page.nodes[..] } else { page.nodes.get(1..).unwrap_or_default() };
        match keys.windows(2).find(|pair| page.key(&pair[0]) >= page.key(&pair[1])) {
            Some(pair) => {
                Err(format!("its keys {} and {} are out of order", page.shown(&pair[0]), page.shown(&pair[1])))
            }
            None => Ok(page),
        }
    }

    fn key(&self, node: &Node) -> &[u8] {
        &self.bytes[node.key.clone()]
    }

    /// A key as messages show it.
    fn shown(&self, node: &Node) -> String {
        shown(self.key(node))
    }

    /// The node of a branch below which a key is, if it is anywhere.
    fn child(&self, key: &[u8]) -> Option<&Node> {
        let after = self.nodes.get(1..)?.partition_point(|node| self.key(node) <= key);
        self.nodes.get(after)
    }
}

/// The node at a byte of its page and where it ends; `None` where it does not fit.
fn node(page: &[u8], at: usize, leaf: bool) -> Result<Option<(Node, usize)>, String> {
    let start = at + 8;
    let Some(head) = page.get(at..start) else { return Ok(None) };
    let (low, flags, key_length) = (u32_at(head, 0), u16_at(head, 4), usize::from(u16_at(head, 6)));
    let key = start..start + key_length;
    let Some(name) = page.get(key.clone()) else { return Ok(None) };
    if !leaf {
        let below = u64::from(low) | u64::from(flags) << 32;
        return Ok(Some((Node { key: key.clone(), holds: Holds::Page(below) }, key.end)));
    }
    if flags & (DATABASE | SEVERAL) != 0 {
        let what = if flags & DATABASE != 0 { "a database of its own" } else { "several values" };
        return Err(format!("{} is {what}, expected one value for each key", shown(name)));
    }
    let size = low as usize;
    let big = flags & BIG != 0;
    let end = key.end + if big { 8 } else { size };
    let Some(value) = page.get(key.end..end) else { return Ok(None) };
    let holds = if big { Holds::Pages(u64_at(value, 0), size) } else { Holds::Bytes(key.end..end) };
    Ok(Some((Node { key, holds }, end)))
}

/// A key as messages show it.
fn shown(key: &[u8]) -> String {
    format!("`{}`", key[..key.len().min(40)].escape_ascii())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    number_at(bytes, at, 2) as u16
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    number_at(bytes, at, 4) as u32
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    number_at(bytes, at, 8)
}

/// A number of so many bytes.
fn number_at(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
