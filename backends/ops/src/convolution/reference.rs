//! The operation in plain tensor operations: the definition that fused versions are held against, and what backends without
//! one use. Holds several `[E, paths components, C]` tensors.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use super::{ConvolutionGradients, ConvolutionInputs, Sizes};
use crate::dual::Dual;
use crate::gradient::Wanted;
use crate::index::EdgeIndex;
use crate::kernels::KernelBackend;
use crate::kernels::tensor_product::{Slot, Table};
use crate::primitive::zeros;

/// What is made of the inputs on the way, per edge.
struct Made<B: Backend> {
    /// `sum_k coefficient_k Y[a_k]`, `[E, out, paths second]`.
    mixes: Dual<B, 3>,
    /// The coefficients that make the mixes of Y, `[first, out paths second]`.
    coefficients: Tensor<B, 2>,
    /// R, `[E paths, 1, C]`.
    radial: Dual<B, 3>,
    /// X of the sender, once for each path, `[E paths, second, C]`.
    senders: Dual<B, 3>,
    /// `R X`, `[E, paths second, C]`.
    products: Dual<B, 3>,
}

fn made<B: KernelBackend>(
    table: &Table,
    edges: &EdgeIndex<B>,
    inputs: &ConvolutionInputs<B>,
    Sizes { edges: count, channels, .. }: Sizes,
) -> Made<B> {
    let [paths, first, second, out] = Slot::ALL.map(|slot| table.size(slot));
    let mut coefficients = vec![0.0; first * out * paths * second];
    for term in table.terms() {
        let [path, a, b, o] = term.at;
        coefficients[((a * out + o) * paths + path) * second + b] += term.factor;
    }
    let data = TensorData::new(coefficients, [first, out * paths * second]).convert::<B::FloatElem>();
    let coefficients = Tensor::from_data(data, &inputs.weight.device());
    let mixes = inputs
        .directions
        .clone()
        .map(|directions| B::matmul(directions, coefficients.clone()).reshape([count, out, paths * second]));
    let radial = inputs
        .features
        .clone()
        .map(|features| B::matmul(features, inputs.weight.clone()).reshape([count * paths, 1, channels]));
    let senders = inputs.nodes.clone().map(|nodes| {
        let senders: Tensor<B, 3> = B::gather(&edges.senders, nodes).reshape([count, 1, second * channels]);
        senders.expand([count, paths, second * channels]).reshape([count * paths, second, channels])
    });
    let products =
        radial.times(&senders, |radial, senders| (radial * senders).reshape([count, paths * second, channels]));
    Made { mixes, coefficients, radial, senders, products }
}

/// See [`ConvolutionBackend::convolve`](super::ConvolutionBackend::convolve).
pub fn convolve<B: KernelBackend>(table: &Table, edges: &EdgeIndex<B>, inputs: &ConvolutionInputs<B>) -> Dual<B> {
    let sizes = Sizes::new(table, edges, inputs);
    let columns = table.size(Slot::Out) * sizes.channels;
    if sizes.edges == 0 {
        // CUDA launches nothing on tensors without elements.
        return Dual::new(zeros([sizes.nodes, columns], &inputs.weight.device()));
    }
    let Made { mixes, products, .. } = made(table, edges, inputs, sizes);
    let sent = mixes.times(&products, |mixes, products| mixes.matmul(products).reshape([sizes.edges, columns]));
    sent.map(|sent| B::sum_groups(&edges.receivers, sent))
}

/// See [`ConvolutionBackend::convolve_backward`](super::ConvolutionBackend::convolve_backward).
pub fn convolve_backward<B: KernelBackend>(
    table: &Table,
    edges: &EdgeIndex<B>,
    inputs: &ConvolutionInputs<B>,
    gradient: Dual<B>,
    wanted: Wanted,
) -> ConvolutionGradients<B> {
    let sizes = Sizes::new(table, edges, inputs);
    let Sizes { edges: count, channels, basis, .. } = sizes;
    let device = inputs.weight.device();
    let zeros = |like: &Dual<B>| {
        Dual::new(if like.value.shape().num_elements() == 0 { like.value.clone() } else { like.value.zeros_like() })
    };
    if count == 0 {
        return ConvolutionGradients {
            nodes: zeros(&inputs.nodes),
            geometry: wanted.geometry.then(|| [&inputs.directions, &inputs.features].map(zeros)),
            weight: wanted.weights.then(|| Tensor::zeros(inputs.weight.dims(), &device)),
        };
    }
    let [paths, _, second, out] = Slot::ALL.map(|slot| table.size(slot));
    let Made { mixes, coefficients, radial, senders, products } = made(table, edges, inputs, sizes);
    let to_sent =
        gradient.swapped().map(|gradient| B::gather(&edges.receivers, gradient).reshape([count, out, channels]));
    let to_products = mixes.times(&to_sent, |mixes, to_sent| {
        mixes.swap_dims(1, 2).matmul(to_sent).reshape([count * paths, second, channels])
    });
    let to_senders = radial.times(&to_products, |radial, to_products| {
        (radial * to_products).reshape([count, paths, second * channels]).sum_dim(1).reshape([count, second * channels])
    });
    let nodes = to_senders.map(|to_senders| B::sum_groups(&edges.senders, to_senders)).swapped();
    let to_radial = senders.times(&to_products, |senders, to_products| {
        (senders * to_products).sum_dim(1).reshape([count, paths * channels])
    });
    let geometry = wanted.geometry.then(|| {
        let to_mixes = to_sent.times(&products, |to_sent, products| {
            to_sent.matmul(products.swap_dims(1, 2)).reshape([count, out * paths * second])
        });
        let directions = to_mixes.map(|to_mixes| B::matmul(to_mixes, coefficients.clone().transpose()));
        let features = to_radial.clone().map(|to_radial| B::matmul(to_radial, inputs.weight.clone().transpose()));
        [directions.swapped(), features.swapped()]
    });
    let weight = wanted.weights.then(|| {
        let product = inputs.features.times(&to_radial, B::matmul_over_rows);
        // Weights have no tangent: their gradient is that part of the product which has all of either.
        product.tangent.unwrap_or(product.value).reshape([basis, paths * channels])
    });
    ConvolutionGradients { nodes, geometry, weight }
}
