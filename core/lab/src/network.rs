//! How long a step takes on many ranks, on paper: what it computes, how many bytes it moves, and how much of
//! that goes on beside computing.

use isograd_engine::zero::Zero;
use serde::{Deserialize, Serialize};

/// The links between ranks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Ranks of a node.
    pub ranks_per_node: usize,
    /// Bytes per second that a rank sends within its node.
    pub link: f64,
    /// Bytes per second that a rank sends to other nodes.
    pub network: f64,
    /// Seconds until the first byte of a message arrives.
    pub latency: f64,
}

/// The work of one rank in a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepModel {
    /// Seconds forward.
    pub forward: f64,
    /// Seconds back, recomputation included.
    pub backward: f64,
    /// Seconds of the update of all weights.
    pub update: f64,
    /// Bytes of all weights.
    pub weights: f64,
    /// Blocks of the model, each of which is a message.
    pub blocks: usize,
    /// Whether blocks are run again on the way back, for which sharded weights are gathered again.
    pub recomputes: bool,
}

/// A step on R ranks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Seconds of the step.
    pub seconds: f64,
    /// Seconds in which communication is under way.
    pub communication: f64,
    /// Those of it in which nothing is computed.
    pub exposed: f64,
    /// Bytes that a rank sends.
    pub sent: f64,
}

impl Cluster {
    /// Nodes of 8 A100 of 80 GB with a network adapter of 200 Gb/s each (NVIDIA, DGX A100 datasheet: 600 GB/s of
    /// NVLink in both directions together, 8 x 200 Gb/s), at the 80 % of these rates that collectives reach.
    pub fn a100() -> Self {
        Self { ranks_per_node: 8, link: 0.8 * 300e9, network: 0.8 * 25e9, latency: 1e-5 }
    }

    /// Seconds in which every rank gets its piece of a sum, or all pieces, of `bytes` in `messages` messages.
    fn pass(&self, ranks: usize, bytes: f64, messages: usize) -> f64 {
        if ranks < 2 {
            return 0.0;
        }
        let bandwidth = if ranks <= self.ranks_per_node { self.link } else { self.network.min(self.link) };
        let moved = bytes * (ranks - 1) as f64 / ranks as f64;
        moved / bandwidth + messages as f64 * self.latency * (ranks as f64).log2().ceil()
    }

    /// A step with this ZeRO level. Messages of a block leave while the next block is computed; those of the last
    /// one have nothing to hide behind. Updated weights are exchanged while nothing else is computed.
    pub fn predict(&self, work: &StepModel, ranks: usize, zero: Zero) -> Predicted {
        let StepModel { forward, backward, update, weights, blocks, recomputes } = *work;
        let pass = self.pass(ranks, weights, blocks);
        let hidden = |communication: f64, beside: f64| {
            let last = communication / blocks as f64;
            (communication - beside * (blocks - 1) as f64 / blocks as f64).max(last)
        };
        let (passes, exposed) = match zero {
            Zero::Off => (2.0, hidden(2.0 * pass, backward)),
            Zero::States | Zero::Gradients => (2.0, hidden(pass, backward) + pass),
            Zero::Weights if recomputes => (3.0, hidden(pass, forward) + hidden(2.0 * pass, backward)),
            Zero::Weights => (2.0, hidden(pass, forward) + hidden(pass, backward)),
        };
        let update = if zero.shards_states() { update / ranks as f64 } else { update };
        Predicted {
            seconds: forward + backward + update + exposed,
            communication: passes * pass,
            exposed,
            sent: passes * weights * (ranks - 1) as f64 / ranks as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn a_step_by_hand() {
        let cluster = Cluster { ranks_per_node: 4, link: 10.0, network: 5.0, latency: 0.0 };
        let work = StepModel { forward: 1.0, backward: 2.0, update: 0.4, weights: 40.0, blocks: 4, recomputes: false };
        assert_relative_eq!(cluster.predict(&work, 1, Zero::Off).seconds, 3.4);
        // A pass moves 20 bytes in 2 s. Two of them beside 1.5 s of backward.
        let two = cluster.predict(&work, 2, Zero::Off);
        assert_relative_eq!(two.communication, 4.0);
        assert_relative_eq!(two.exposed, 2.5);
        assert_relative_eq!(two.seconds, 3.0 + 0.4 + 2.5);
        // One pass beside backward, one alone, and half of the update.
        assert_relative_eq!(cluster.predict(&work, 2, Zero::States).seconds, 3.0 + 0.2 + 0.5 + 2.0);
        // Beyond a node the network counts: 35 bytes at 5 a second.
        assert_relative_eq!(cluster.predict(&work, 8, Zero::Off).communication, 14.0);
        // Weights on the way forward, and again on the way back.
        let again = cluster.predict(&StepModel { recomputes: true, ..work }, 2, Zero::Weights);
        assert_relative_eq!(again.seconds, 3.0 + 0.2 + (2.0 - 0.75) + (4.0 - 1.5));
        assert_relative_eq!(again.sent, 60.0);
    }
}
