//! Throughput since the last line of the log.

use std::time::Instant;

use isograd_data::Sizes;

/// Atoms and edges since it was made.
pub(super) struct Window {
    start: Instant,
    atoms: usize,
    edges: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), atoms: 0, edges: 0 }
    }

    pub(super) fn count(&mut self, sizes: Sizes) {
        self.atoms += sizes.atoms;
        self.edges += sizes.edges;
    }

    /// Edges and atoms per second.
    pub(super) fn rates(&self) -> [f64; 2] {
        let seconds = self.start.elapsed().as_secs_f64().max(1e-9);
        [self.edges, self.atoms].map(|count| count as f64 / seconds)
    }
}
