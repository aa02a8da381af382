//! A first block, and layers on top of it.

use isograd_engine::{Block, Declare};
use isograd_ops::message::MessageBackend;

use crate::{Graph, GraphBlocks};

/// The block that `first` makes and so many that `layer` makes, each with its parameters declared as a block of its own.
pub fn stack<B, F, L>(
    declare: &mut Declare,
    first: impl FnOnce(&mut Declare) -> F,
    layers: usize,
    mut layer: impl FnMut(&mut Declare, usize) -> L,
) -> GraphBlocks<B>
where
    B: MessageBackend,
    F: Block<B, Graph<B>> + 'static,
    L: Block<B, Graph<B>> + 'static,
{
    declare.next_block();
    let mut blocks: GraphBlocks<B> = vec![Box::new(first(declare))];
    for number in 0..layers {
        declare.next_block();
        blocks.push(Box::new(layer(declare, number)));
    }
    blocks
}
