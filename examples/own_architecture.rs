//! An architecture of your own, of the blocks of another and one more: held to the conformance suite, and trained.
//!
//!     cargo run --release --example own_architecture
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use isograd::network::*;
use isograd::prelude::*;
use serde::{Deserialize, Serialize};

/// A PaiNN whose nodes hear their neighbours once more. `core/models/src/gcn.rs` is short and extends nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Echo(PaiNN);

impl Architecture for Echo {
    const KIND: &'static str = "echo";
    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        self.0.validate(inputs)
    }
    fn needs(&self) -> GraphNeeds {
        self.0.needs()
    }
    fn width(&self) -> usize {
        self.0.width
    }
    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<B> {
        let mut blocks = self.0.blocks(inputs, declare);
        let PaiNN { width, cutoff, basis, envelope, .. } = self.0;
        declare.next_block();
        let map = nn::Linear::declare(declare, "echo", [width, width], false);
        let radial = nn::Radial::new(cutoff, basis, envelope);
        // `h_i + silu(sum_j w(r_ij) h_j W)`.
        blocks.push(block(move |weights, graph: &Graph<B>, mut flow| {
            let Some(edges) = graph.edges_as_given(&radial) else { return flow };
            let nodes = flow.need(NODES);
            let heard = edges.fade(nodes.clone().gather(&graph.index.senders)).sum_groups(&graph.index.receivers);
            flow.put(NODES, nodes + map.apply(weights, heard).silu());
            flow
        }));
        blocks
    }
}

fn main() -> isograd::Result<()> {
    let small = Echo(PaiNN { width: 8, layers: 1, cutoff: 3.0, ..PaiNN::default() });
    isograd_testing::conforms(&isograd_testing::Subject::new("echo", small.clone()));
    println!("echo: equivariant, with right gradients, the same when recomputed and on several ranks");
    let data = Data::open("examples/data/molecules.extxyz.xz")?.split(Split::by_formula(0.1))?;
    let fitted = Trainer::new(small, PotentialTask::default()).epochs(2).fit(&data)?;
    println!("{}", fitted.best().validation);
    Ok(())
}

#[test]
fn runs() -> isograd::Result<()> {
    main()
}
