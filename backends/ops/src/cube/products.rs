//! Products of matrices, in single precision.
//!
//! Burn measures many kernels for each shape and takes the fastest. On an NVIDIA GPU that may be one that rounds to TF32, 10
//! bits behind the point instead of 23, and which one it is may differ from run to run. Here the kernel is always the same:
//! tiles in registers, no tensor cores.

use burn::tensor::Tensor;
use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::matmul::launch::{Strategy, launch_ref};
use cubek::matmul::routines::simple_unit::SimpleUnitSelectionArgs;
use cubek::matmul::routines::{BlueprintStrategy, TileSizeSelection};
use cubek::std::InputBinding;

use super::{Cube, empty, tiles};
use crate::message::scratch::parts_of_sum;
use crate::primitive::{primitive, tensor, zeros};

/// A product with a side shorter than this is not worth tiles.
const TILE: usize = 4;

/// `a b`, of matrices or of as many matrices one by one.
pub(crate) fn matmul<R: CubeRuntime, BT: BoolElement, const D: usize>(
    a: Tensor<Cube<R, BT>, D>,
    b: Tensor<Cube<R, BT>, D>,
) -> Tensor<Cube<R, BT>, D> {
    let ([m, k], [own, n]) = (last_two(a.dims()), last_two(b.dims()));
    assert_eq!(k, own, "matmul: {k} columns times {own} rows");
    let mut shape = a.dims();
    (shape[D - 2], shape[D - 1]) = (m, n);
    if shape.contains(&0) {
        // CUDA launches nothing that has no units.
        return Tensor::empty(shape, &a.device());
    }
    if k == 0 {
        return zeros(shape, &a.device());
    }
    let (a, b) = (primitive(a), primitive(b));
    let out = empty(&a, shape);
    if tiles::product(&a, &b, &out, [m, k, n]) {
        return tensor(out);
    }
    let units = Strategy::SimpleUnit(BlueprintStrategy::Inferred(SimpleUnitSelectionArgs {
        tile_size: TileSizeSelection::MaxTileSize,
    }));
    let tiled = [m, k, n].iter().all(|&side| side >= TILE) && launch(&units, &a, &b, &out).is_ok();
    if !tiled && let Err(message) = launch(&Strategy::Naive, &a, &b, &out) {
        panic!("matmul: {message}");
    }
    tensor(out)
}

/// `a^T b` of `a [rows, K]` and `b [rows, C]`, in parts whose products are computed side by side and added.
pub(crate) fn matmul_over_rows<R: CubeRuntime, BT: BoolElement>(
    a: Tensor<Cube<R, BT>, 2>,
    b: Tensor<Cube<R, BT>, 2>,
) -> Tensor<Cube<R, BT>, 2> {
    let ([rows, k], [_, columns]) = (a.dims(), b.dims());
    let parts = parts_of_sum([rows, k, columns]);
    if parts == 1 {
        return matmul(a.transpose(), b);
    }
    let part = rows / parts;
    let cut = |x: Tensor<Cube<R, BT>, 2>, columns: usize| -> Tensor<Cube<R, BT>, 3> {
        let rows = 0..parts * part;
        x.slice([rows]).reshape([parts, part, columns])
    };
    let sums = matmul(cut(a.clone(), k).swap_dims(1, 2), cut(b.clone(), columns));
    let sum = sums.sum_dim(0).reshape([k, columns]);
    let rest = parts * part..rows;
    if rest.is_empty() {
        return sum;
    }
    sum + matmul(a.slice([rest.clone()]).transpose(), b.slice([rest]))
}

fn last_two<const D: usize>(dims: [usize; D]) -> [usize; 2] {
    [dims[D - 2], dims[D - 1]]
}

fn launch<R: CubeRuntime>(
    strategy: &Strategy,
    a: &CubeTensor<R>,
    b: &CubeTensor<R>,
    out: &CubeTensor<R>,
) -> Result<(), String> {
    let mut types = MatmulElems::from_globals(&MatmulGlobalElems {
        lhs: a.dtype.into(),
        rhs: b.dtype.into(),
        out: out.dtype.into(),
    });
    let input = |x: &CubeTensor<R>| InputBinding::new(x.clone().binding(), x.dtype.into());
    launch_ref(strategy, &out.client, input(a), input(b), out.clone().binding(), &mut types)
        .map_err(|error| format!("{error:?}"))
}
