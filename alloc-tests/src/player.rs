//! Plays sequences of operations to an allocator: those that the tests draw, and those that a fuzzer makes up.

use crate::oracle::{Block, Fault, Oracle};
use crate::{rng::Rng, sizes::Sizes};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::Mutex;

/// One step. A `which` is taken modulo the number of blocks that there are, and does nothing if there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Allocates, zeroed or not.
    Allocate(Layout, bool),
    /// Reallocates one of the player's blocks.
    Resize(usize, usize),
    /// Frees one of the player's blocks.
    Free(usize),
    /// Lays one of the player's blocks on the table.
    Put(usize),
    /// Takes a block, by whomever, from the table.
    Take(usize),
}

impl Operation {
    /// Draws the next step. Allocations and frees balance; the table is used if there is one.
    pub fn draw(rng: &mut Rng, sizes: &Sizes, table: bool) -> Self {
        match rng.below(if table { 100 } else { 80 }) {
            0..26 => Operation::Allocate(sizes.layout(rng), false),
            26..34 => Operation::Allocate(sizes.layout(rng), true),
            34..50 => Operation::Resize(rng.next() as usize, sizes.size(rng)),
            50..80 => Operation::Free(rng.next() as usize),
            80..90 => Operation::Put(rng.next() as usize),
            _ => Operation::Take(rng.next() as usize),
        }
    }
}

/// Where players lay blocks down for others.
pub type Table = Mutex<Vec<Block>>;

/// One thread's blocks.
#[derive(Debug)]
pub struct Player<'a, A> {
    oracle: &'a Oracle<'a, A>,
    table: Option<&'a Table>,
    blocks: Vec<Block>,
    bytes: usize,
    most: usize,
}

impl<'a, A: GlobalAlloc> Player<'a, A> {
    /// A player that holds at most `most` bytes, or one block.
    pub fn new(oracle: &'a Oracle<'a, A>, table: Option<&'a Table>, most: usize) -> Self {
        Player { oracle, table, blocks: Vec::new(), bytes: 0, most }
    }

    fn take_out(&mut self, which: usize) -> Option<Block> {
        if self.blocks.is_empty() {
            return None;
        }
        let block = self.blocks.swap_remove(which % self.blocks.len());
        self.bytes -= block.layout().size();
        Some(block)
    }

    fn put_in(&mut self, block: Block) -> Result<(), Fault> {
        self.bytes += block.layout().size();
        self.blocks.push(block);
        while self.bytes > self.most && self.blocks.len() > 1 {
            if let Some(block) = self.take_out(0) {
                self.oracle.free(block)?;
            }
        }
        Ok(())
    }

    /// Plays one step.
    ///
    /// # Errors
    /// What the oracle found.
    pub fn play(&mut self, operation: Operation) -> Result<(), Fault> {
        match operation {
            Operation::Allocate(layout, zeroed) => {
                let block = self.oracle.allocate(layout, zeroed)?;
                self.put_in(block)
            }
            Operation::Resize(which, size) => {
                let Some(mut block) = self.take_out(which) else {
                    return Ok(());
                };
                let outcome = self.oracle.resize(&mut block, size);
                if matches!(outcome, Ok(()) | Err(Fault::Refused(_))) {
                    self.put_in(block)?;
                }
                outcome
            }
            Operation::Free(which) => match self.take_out(which) {
                Some(block) => self.oracle.free(block),
                None => Ok(()),
            },
            Operation::Put(which) => {
                if let Some(table) = self.table
                    && let Some(block) = self.take_out(which)
                {
                    table.lock().unwrap().push(block);
                }
                Ok(())
            }
            Operation::Take(which) => {
                let Some(table) = self.table else {
                    return Ok(());
                };
                let mut blocks = table.lock().unwrap();
                if blocks.is_empty() {
                    return Ok(());
                }
                let at = which % blocks.len();
                let block = blocks.swap_remove(at);
                drop(blocks);
                self.put_in(block)
            }
        }
    }

    /// Checks and frees all that the player has.
    ///
    /// # Errors
    /// What the oracle found.
    pub fn finish(mut self) -> Result<(), Fault> {
        self.blocks.drain(..).try_for_each(|block| self.oracle.free(block))
    }

    /// Lays all that the player has on the table.
    ///
    /// # Panics
    /// If there is no table.
    pub fn leave(mut self) {
        self.table.expect("a table").lock().unwrap().append(&mut self.blocks);
    }
}

/// Plays `steps` random operations on one thread, from a seed.
///
/// # Errors
/// What the oracle found.
pub fn play_random<A: GlobalAlloc>(
    oracle: &Oracle<'_, A>,
    table: Option<&Table>,
    sizes: &Sizes,
    seed: u64,
    steps: usize,
    most: usize,
) -> Result<(), Fault> {
    let mut rng = Rng::new(seed);
    let mut player = Player::new(oracle, table, most);
    for _ in 0..steps {
        player.play(Operation::draw(&mut rng, sizes, table.is_some()))?;
    }
    player.finish()
}
