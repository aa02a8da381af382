//! What the convolution along edges takes. On a GPU, buffers are made and let go in the order of `convolution::cube`.

use std::sync::Arc;

use burn::tensor::{Shape, Tensor};

use super::tiles::sum_over_rows;
use super::{Meter, Sketch, Sketched};
use crate::convolution::scratch::{ConvolutionShape, tiles};
use crate::convolution::{self, ConvolutionBackend, ConvolutionGradients, ConvolutionInputs, Sizes};
use crate::dual::Dual;
use crate::gradient::Wanted;
use crate::index::EdgeIndex;
use crate::kernels::tensor_product::{Slot, Table};
use crate::primitive::{primitive, tensor};
use crate::profile::Profile;

/// The operation on its way.
struct Work {
    like: Sketched,
    sizes: Sizes,
    shape: ConvolutionShape,
    /// Inputs that do not lie in order are copied.
    _copies: Vec<Sketched>,
}

impl Work {
    /// `None` where there are no edges.
    fn new(
        table: &Table,
        edges: &EdgeIndex<Sketch>,
        inputs: &ConvolutionInputs<Sketch>,
        wanted: Wanted,
    ) -> Option<Self> {
        let sizes @ Sizes { nodes, edges, channels, basis } = Sizes::new(table, edges, inputs);
        let like = primitive(inputs.weight.clone());
        if edges == 0 {
            return None;
        }
        let columns = |slot| (table.size(slot) * channels) as u64;
        let shape = ConvolutionShape {
            nodes: nodes as u64,
            edges: edges as u64,
            graphs: like.meter().map_or(1, Meter::graphs),
            nodes_columns: columns(Slot::Second),
            out_columns: columns(Slot::Out),
            edge_columns: if wanted.geometry { (table.size(Slot::First) + basis) as u64 } else { 0 },
            weights: if wanted.weights { basis as u64 * columns(Slot::Path) } else { 0 },
            paths_columns: columns(Slot::Path),
            dual: inputs.is_dual(),
        };
        let read = [&inputs.nodes, &inputs.directions, &inputs.features];
        let read = read.into_iter().flat_map(|input| [Some(&input.value), input.tangent.as_ref()]).flatten();
        let copies = read.map(|read| primitive(read.clone()).whole()).collect();
        Some(Self { like, sizes, shape, _copies: copies })
    }

    fn of<const R: usize>(&self, shape: [usize; R]) -> Tensor<Sketch, R> {
        tensor(self.like.fresh(Shape::new(shape)))
    }

    fn dual(&self, shape: [usize; 2]) -> Dual<Sketch> {
        Dual { value: self.of(shape), tangent: self.shape.dual.then(|| self.of(shape)) }
    }

    /// Tiles of a GPU; the sums over them, and radial features' gradients before they are joined.
    fn tiles(&self, wanted: Wanted) {
        let Some(Profile::Gpu { largest, .. }) = self.like.meter().map(Meter::profile) else { return };
        let (columns, basis) = (self.shape.paths_columns as usize, self.sizes.basis);
        let (mut features, mut weight) = (Vec::new(), None);
        for tile in tiles(largest, self.sizes.edges, columns, self.shape.dual) {
            let _to_radial = self.dual([tile.len(), columns]);
            features.extend(wanted.geometry.then(|| self.dual([tile.len(), basis])));
            if wanted.weights {
                let sizes = [tile.len(), basis, columns].map(|size| size as u64);
                let _first = self.shape.dual.then(|| sum_over_rows(&self.like, sizes));
                weight.get_or_insert(sum_over_rows(&self.like, sizes));
            }
        }
    }

    fn pass(&self, bytes: impl Fn(&ConvolutionShape, usize) -> u64) {
        if let Some((meter, Profile::Cpu { threads })) = self.like.meter().map(|meter| (meter, meter.profile())) {
            meter.pass(bytes(&self.shape, threads));
        }
    }
}

impl ConvolutionBackend for Sketch {
    fn convolve(table: &Arc<Table>, edges: &EdgeIndex<Self>, inputs: &ConvolutionInputs<Self>) -> Dual<Self> {
        let Some(work) = Work::new(table, edges, inputs, Wanted { geometry: false, weights: false }) else {
            return convolution::convolve(table, edges, inputs);
        };
        let found = work.dual([work.sizes.nodes, table.size(Slot::Out) * work.sizes.channels]);
        work.pass(|shape, _| shape.forward());
        found
    }

    fn convolve_backward(
        table: &Arc<Table>,
        edges: &EdgeIndex<Self>,
        inputs: &ConvolutionInputs<Self>,
        gradient: Dual<Self>,
        wanted: Wanted,
    ) -> ConvolutionGradients<Self> {
        let Some(work) = Work::new(table, edges, inputs, wanted) else {
            return convolution::convolve_backward(table, edges, inputs, gradient, wanted);
        };
        let nodes = work.dual(inputs.nodes.value.dims());
        let geometry =
            wanted.geometry.then(|| [&inputs.directions, &inputs.features].map(|input| work.dual(input.value.dims())));
        let weight = wanted.weights.then(|| work.of(inputs.weight.dims()));
        work.pass(ConvolutionShape::backward);
        if wanted.geometry || wanted.weights {
            work.tiles(wanted);
        }
        drop(gradient);
        ConvolutionGradients { nodes, geometry, weight }
    }
}
