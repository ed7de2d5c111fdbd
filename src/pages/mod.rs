//! Pages: runs of slices that hold blocks of one size class, and the shards that keep them.
//!
//! | word | meaning |
//! | --- | --- |
//! | OS page | what the kernel maps; asked for at run time |
//! | arena | a large reserved range of address space, made of segments of 32 MiB |
//! | slice | 64 KiB of an arena, the unit that pages are made of |
//! | page | one or more slices that hold blocks of one size class |
//! | block | what a caller gets |
//! | size class | a block size; [`classes`] |
//! | home | the page that a block belongs to |
//! | shard | the pages that a few threads draw from; a thread has one, ended threads' shards wait to be adopted |
//! | out | of a block: not in its page's bitmap of free blocks; held by the program, a magazine or a depot |
//! | purge | give physical memory back and keep the addresses |
//! | hole | an OS page inside a page that holds no block that is out, and was purged |
//!
//! **Nothing of ours lies in a block.** A page's free blocks stand in a bitmap, its header among the segment's
//! metadata, and what a tracker knows of its blocks in a side table.

pub(crate) mod canary;
pub(crate) mod checked;
pub(crate) mod classes;
pub(crate) mod guard;
pub(crate) mod guarded;
pub(crate) mod loose;
pub(crate) mod page;
pub(crate) mod shard;
