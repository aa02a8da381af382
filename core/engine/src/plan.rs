//! How much memory a walk will take, from how much each block takes.

use crate::Segment;

/// Bytes of one block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockBytes {
    /// Its parameters, and so their gradients.
    pub parameters: u64,
    /// What flows out of it.
    pub output: u64,
    /// What its autodiff graph keeps, beside what flows in and out.
    pub kept: u64,
    /// The most that it needs beside that on the way forward.
    pub forward: u64,
    /// The most that it needs on the way back, gradients of its inputs and parameters included, beside what
    /// it keeps.
    pub backward: u64,
}

/// What is held at the moment of a walk at which that is most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalkBytes {
    /// Boundaries between blocks, and what the graphs of blocks keep.
    pub activations: u64,
    /// What comes and goes.
    pub transient: u64,
    /// Gradients of blocks that have been walked back.
    pub gradients: u64,
}

impl WalkBytes {
    /// All together.
    pub fn total(self) -> u64 {
        self.activations + self.transient + self.gradients
    }
}

/// The largest moment of a walk. Of the gradients of a block, `held` is what a sink goes on to hold.
pub fn walk_bytes(blocks: &[BlockBytes], segments: &[Segment], held: impl Fn(u64) -> u64) -> WalkBytes {
    let mut largest = WalkBytes::default();
    let mut at = |activations, transient, gradients| {
        let now = WalkBytes { activations, transient, gradients };
        if now.total() > largest.total() {
            largest = now;
        }
    };
    let output_of = |segment: &Segment| blocks[segment.blocks.end - 1].output;

    let mut live = 0;
    for segment in segments {
        let mut own = 0;
        let mut input = 0;
        for block in &blocks[segment.blocks.clone()] {
            at(live + own, block.forward + block.output + if segment.kept { block.kept } else { input }, 0);
            if segment.kept {
                own += block.kept + block.output;
            }
            input = block.output;
        }
        live += if segment.kept { own } else { output_of(segment) };
    }
    let mut gradients = 0;
    for segment in segments.iter().rev() {
        if !segment.kept {
            live -= output_of(segment);
            for block in &blocks[segment.blocks.clone()] {
                at(live, block.kept + block.forward + block.output, gradients);
                live += block.kept + block.output;
            }
        }
        for block in blocks[segment.blocks.clone()].iter().rev() {
            at(live, block.backward, gradients);
            live -= block.kept + block.output;
            gradients += held(block.parameters);
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recompute;

    #[test]
    fn a_chain_by_hand() {
        let block = BlockBytes { parameters: 1, output: 10, kept: 100, forward: 5, backward: 50 };
        let blocks = [block; 4];
        let of = |recompute: Recompute| walk_bytes(&blocks, &recompute.segments(4), |bytes| bytes);
        // All is kept when the way back begins.
        assert_eq!(of(Recompute::None), WalkBytes { activations: 440, transient: 50, gradients: 0 });
        // Three boundaries and one block.
        assert_eq!(of(Recompute::Layer), WalkBytes { activations: 140, transient: 50, gradients: 0 });
        // One boundary and two blocks.
        assert_eq!(of(Recompute::Every(2)), WalkBytes { activations: 230, transient: 50, gradients: 0 });
        // Gradients that are not let go of can outgrow what is kept.
        let heavy = [BlockBytes { parameters: 1000, ..block }; 4];
        let found = walk_bytes(&heavy, &Recompute::None.segments(4), |bytes| bytes);
        assert_eq!(found, WalkBytes { activations: 110, transient: 50, gradients: 3000 });
    }
}
