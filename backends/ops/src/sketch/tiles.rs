//! The fused edge operation on a GPU: the buffers of its tiles, made and let go in the order of `message::cube`.

use burn::tensor::Shape;

use super::Sketched;
use crate::message::scratch::{BLOCK, MessageShape, parts_of_sum, tile};

/// The tiles of an operation.
pub(super) struct Tiles<'a> {
    like: &'a Sketched,
    shape: MessageShape,
    /// Edges of a full one.
    edges: u64,
    /// Rows of an edge.
    parts: u64,
}

impl<'a> Tiles<'a> {
    /// On a device with this largest page.
    pub(super) fn new(like: &'a Sketched, shape: MessageShape, largest: u64) -> Self {
        let parts = 1 + u64::from(shape.dual);
        Self { like, shape, edges: tile(largest, shape.width as usize) as u64 / parts, parts }
    }

    /// Edges of each.
    fn each(&self) -> impl Iterator<Item = u64> + use<> {
        let (edges, rest) = (self.edges, self.shape.edges % self.edges);
        (0..self.shape.edges / edges).map(move |_| edges).chain((rest > 0).then_some(rest))
    }

    fn matrix(&self, rows: u64, columns: u64) -> Sketched {
        self.like.fresh(Shape::new([rows as usize, columns as usize]))
    }

    /// A buffer with the rows of so many edges.
    fn rows(&self, edges: u64) -> Sketched {
        self.matrix(self.parts * edges, self.shape.width)
    }

    /// Sums over blocks of rows, where gradients of weights are made of them.
    fn block_sums(&self, edges: u64) -> Sketched {
        let blocks = if self.shape.weights { edges.div_ceil(BLOCK as u64) } else { 1 };
        self.matrix(blocks, self.shape.width)
    }

    pub(super) fn forward(&self) {
        for edges in self.each() {
            let u1 = self.rows(edges);
            let _a2 = self.rows(edges);
            drop(u1);
            let message = self.rows(edges);
            if self.shape.gate {
                let _a3 = self.rows(edges);
                drop(message);
            }
        }
    }

    pub(super) fn backward(&self) {
        let MessageShape { nodes, width, basis, gate, weights, geometry, envelope, .. } = self.shape;
        let _nodes: Vec<_> = (0..2 * self.parts).map(|_| self.matrix(nodes, width)).collect();
        let envelopes = if geometry && envelope { self.parts } else { 0 };
        let _envelopes: Vec<_> = (0..envelopes).map(|_| self.matrix(self.shape.edges, 1)).collect();
        let (mut sums, mut features) = (Vec::new(), Vec::new());
        for edges in self.each() {
            let rows = self.parts * edges;
            let mut found = Vec::new();
            let u1 = self.rows(edges);
            let _a2 = self.rows(edges);
            let through_gate = gate.then(|| {
                let message = self.rows(edges);
                let _a3 = self.rows(edges);
                let _blocks = [(); 2].map(|()| self.block_sums(edges));
                // The message is needed for the gradients of weights alone, and otherwise let go at the end.
                let _message = if weights {
                    found.extend([self.sum([rows, width, width]), self.matrix(1, width), self.matrix(1, width)]);
                    None
                } else {
                    Some(message)
                };
                self.rows(edges)
            });
            let to_bias = self.block_sums(edges);
            drop(through_gate);
            let _u1 = if weights {
                found.push(self.matrix(1, width));
                drop(to_bias);
                found.push(self.sum([rows, width, width]));
                None
            } else {
                Some(u1)
            };
            let _to_u1 = self.rows(edges);
            if weights {
                found.push(self.sum([rows, basis, width]));
            }
            features.extend(geometry.then(|| self.matrix(rows, basis)));
            if sums.is_empty() {
                sums = found;
            }
        }
        let _joined: Vec<_> =
            features.first().iter().map(|_| self.matrix(self.parts * self.shape.edges, basis)).collect();
    }

    fn sum(&self, sizes: [u64; 3]) -> Sketched {
        sum_over_rows(self.like, sizes)
    }
}

/// A sum of outer products over so many rows, `[k, columns]`, on a GPU.
pub(super) fn sum_over_rows(like: &Sketched, [rows, k, columns]: [u64; 3]) -> Sketched {
    let matrix = |rows: u64| like.fresh(Shape::new([rows as usize, columns as usize]));
    let parts = parts_of_sum([rows, k, columns].map(|size| size as usize)) as u64;
    if parts == 1 {
        return matrix(k);
    }
    let _products = matrix(parts * k);
    let sum = matrix(k);
    if rows % parts > 0 {
        let _rest = matrix(k);
    }
    sum
}
