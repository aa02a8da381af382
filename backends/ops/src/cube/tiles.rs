//! A product of matrices whose tiles are shared by the units of a cube: each unit makes eight rows and eight columns of a
//! tile in registers, while the next slice of both factors is on its way from memory.
#![allow(missing_docs, reason = "the kernel macro makes items without them")]
#![allow(clippy::too_many_arguments, reason = "kernels have no structs for their buffers")]

use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::CubeDim;
use cubecl::prelude::*;

use super::addresses;

/// Columns of the left and rows of the right factor in a slice.
const SLICE: usize = 8;

/// Rows and columns of a tile.
const TILES: [[usize; 2]; 4] = [[128, 128], [128, 64], [64, 64], [64, 32]];

/// Cubes below which smaller tiles are taken, so that all of a GPU has work.
const CUBES: usize = 256;

/// Most cubes along a dimension, on any GPU.
const MOST: usize = 65_535;

/// How the matrices of a factor lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Layout {
    /// From a row, or a column, of the product to the next, or from one that is summed over to the next; the other is 1.
    stride: usize,
    /// Whether neighbours in memory are summed over.
    along: bool,
    /// From a matrix to the next.
    matrix: usize,
    /// Whether four numbers are read at once.
    fours: bool,
}

impl Layout {
    /// Of a factor `[.., rows, columns]` in a tensor; `summed` is the dimension from the end that is summed over, 1 or 2.
    fn of<R: CubeRuntime>(x: &CubeTensor<R>, summed: usize) -> Option<Self> {
        let (shape, strides) = (x.meta.shape(), x.meta.strides());
        let rank = shape.num_dims();
        let (long, short) = (rank - (3 - summed), rank - summed);
        let matrix = if rank == 3 { strides[0] } else { 0 };
        let aligned = |stride: usize, size: usize| [stride, size, matrix].iter().all(|x| x.is_multiple_of(4));
        if strides[long] == 1 && strides[short] >= shape[long] {
            let stride = strides[short];
            return Some(Self { stride, along: false, matrix, fours: aligned(stride, shape[long]) });
        }
        let along = strides[short] == 1 && strides[long] >= shape[short];
        along.then_some(Self { stride: strides[long], along: true, matrix, fours: false })
    }
}

/// `a b` into `out [.., m, n]`, of matrices or of as many matrices one by one; false, and nothing done, where their layouts
/// or sizes are not for this kernel.
pub(super) fn product<R: CubeRuntime>(
    a: &CubeTensor<R>,
    b: &CubeTensor<R>,
    out: &CubeTensor<R>,
    [m, k, n]: [usize; 3],
) -> bool {
    let (Some(left), Some(right)) = (Layout::of(a, 1), Layout::of(b, 2)) else { return false };
    let matrices = out.meta.shape().num_elements() / (m * n);
    let cubes = |[rows, columns]: [usize; 2]| [n.div_ceil(columns), m.div_ceil(rows), matrices];
    let memory = out.client.properties().hardware.max_shared_memory_size;
    // Two slices of each factor in shared memory.
    let slices = |[rows, columns]: [usize; 2]| 2 * SLICE * (rows + columns + 8) * size_of::<f32>();
    let fits = |tile: &[usize; 2]| tile[1] < 2 * n && tile[0] < 2 * m && slices(*tile) <= memory;
    let mut tiles = TILES.into_iter().filter(fits);
    let Some(mut tile) = tiles.next() else { return false };
    for smaller in tiles {
        if cubes(tile).iter().product::<usize>() < CUBES {
            tile = smaller;
        }
    }
    let [across, down, deep] = cubes(tile);
    if [across, down, deep].iter().any(|&count| count > MOST) {
        return false;
    }
    let vector = if n.is_multiple_of(4) { 4 } else { 1 };
    let even = |size: usize, of: usize| size.is_multiple_of(of);
    // SAFETY: units read and write only what is within the sizes, which the layouts are of.
    #[allow(unsafe_code, reason = "the kernel checks its bounds itself")]
    unsafe {
        tiles_of_product::launch_unchecked::<R>(
            &out.client,
            CubeCount::Static(across as u32, down as u32, deep as u32),
            CubeDim::new_1d((tile[0] * tile[1] / 64) as u32),
            addresses(&[a, b, out]),
            vector,
            a.clone().into_array_arg(),
            a.clone().into_array_arg(),
            b.clone().into_array_arg(),
            b.clone().into_array_arg(),
            out.clone().into_array_arg(),
            m,
            k,
            n,
            left.stride,
            right.stride,
            left.matrix,
            right.matrix,
            tile[0],
            tile[1],
            left.along,
            right.along,
            left.fours,
            right.fours,
            vector,
            even(m, tile[0]) && even(k, SLICE),
            even(n, tile[1]) && even(k, SLICE),
        );
    }
    true
}

/// Four neighbours along the long side of a slice: the `slot`-th four of them. What is outside is zero. The numbers are the
/// same one by one and four by four.
#[cube]
fn four(
    numbers: &Array<f32>,
    fours: &Array<Vector<f32, Const<4>>>,
    start: usize,
    stride: usize,
    long: usize,
    short: usize,
    first_long: usize,
    first_short: usize,
    slot: usize,
    #[comptime] tile: usize,
    #[comptime] along: bool,
    #[comptime] at_once: bool,
    #[comptime] even: bool,
) -> Vector<f32, Const<4>> {
    let mut found = Vector::<f32, Const<4>>::new(0.0);
    if along {
        let place = first_short + slot % SLICE;
        let row = first_long + slot / SLICE * 4;
        #[unroll]
        for j in 0..4usize {
            let mut inside = true;
            if !even {
                inside = row + j < long && place < short;
            }
            if inside {
                found[j] = numbers[start + (row + j) * stride + place];
            }
        }
    } else {
        let groups = comptime!(tile / 4);
        let row = first_long + slot % groups * 4;
        let place = first_short + slot / groups;
        if at_once {
            let mut inside = true;
            if !even {
                inside = row < long && place < short;
            }
            if inside {
                found = fours[(start + place * stride + row) / 4];
            }
        } else {
            #[unroll]
            for j in 0..4usize {
                if row + j < long && place < short {
                    found[j] = numbers[start + place * stride + row + j];
                }
            }
        }
    }
    found
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn tiles_of_product<C: Size>(
    a: &Array<f32>,
    a_fours: &Array<Vector<f32, Const<4>>>,
    b: &Array<f32>,
    b_fours: &Array<Vector<f32, Const<4>>>,
    out: &mut Array<Vector<f32, C>>,
    m: usize,
    k: usize,
    n: usize,
    a_stride: usize,
    b_stride: usize,
    a_matrix: usize,
    b_matrix: usize,
    #[comptime] rows: usize,
    #[comptime] columns: usize,
    #[comptime] a_along: bool,
    #[comptime] b_along: bool,
    #[comptime] a_at_once: bool,
    #[comptime] b_at_once: bool,
    #[comptime] vector: usize,
    #[comptime] a_even: bool,
    #[comptime] b_even: bool,
) {
    let units = comptime!(rows * columns / 64);
    let across = comptime!(columns / 8);
    // Fours of a slice, of each factor and of a unit.
    let a_own = comptime!(SLICE * rows / 4 / units);
    let b_own = comptime!(SLICE * columns / 4 / units);
    let a_slice = comptime!(SLICE * pitch(rows));
    let b_slice = comptime!(SLICE * pitch(columns));
    let unit = UNIT_POS as usize;
    let x = unit % across;
    let y = unit / across;
    let row = CUBE_POS_Y as usize * rows;
    let column = CUBE_POS_X as usize * columns;
    let a_start = CUBE_POS_Z as usize * a_matrix;
    let b_start = CUBE_POS_Z as usize * b_matrix;

    let mut left = SharedMemory::<Vector<f32, Const<4>>>::new(comptime!(2 * a_slice));
    let mut right = SharedMemory::<Vector<f32, Const<4>>>::new(comptime!(2 * b_slice));
    let mut next_left = Array::<Vector<f32, Const<4>>>::new(a_own);
    let mut next_right = Array::<Vector<f32, Const<4>>>::new(b_own);
    let mut sums = Array::<Vector<f32, Const<4>>>::new(16usize);
    #[unroll]
    for s in 0..16usize {
        sums[s] = Vector::new(0.0);
    }

    let slices = k.div_ceil(SLICE);
    for slice in 0..slices + 1 {
        // What was read is put where nobody reads any more, and what comes after it is read meanwhile.
        if slice < slices {
            #[unroll]
            for s in 0..a_own {
                let slot = unit + s * units;
                next_left[s] = four(
                    a,
                    a_fours,
                    a_start,
                    a_stride,
                    m,
                    k,
                    row,
                    slice * SLICE,
                    slot,
                    rows,
                    a_along,
                    a_at_once,
                    a_even,
                );
            }
            #[unroll]
            for s in 0..b_own {
                let slot = unit + s * units;
                next_right[s] = four(
                    b,
                    b_fours,
                    b_start,
                    b_stride,
                    n,
                    k,
                    column,
                    slice * SLICE,
                    slot,
                    columns,
                    b_along,
                    b_at_once,
                    b_even,
                );
            }
        }
        if slice > 0 {
            let part = (slice - 1) % 2;
            #[unroll]
            for s in 0..SLICE {
                let a_at = part * a_slice + s * comptime!(pitch(rows)) + y;
                let b_at = part * b_slice + s * comptime!(pitch(columns)) + x;
                let upper = left[a_at];
                let lower = left[a_at + rows / 8];
                let first = right[b_at];
                let second = right[b_at + columns / 8];
                #[unroll]
                for j in 0..4usize {
                    sums[2 * j] += Vector::new(upper[j]) * first;
                    sums[2 * j + 1] += Vector::new(upper[j]) * second;
                    sums[2 * j + 8] += Vector::new(lower[j]) * first;
                    sums[2 * j + 9] += Vector::new(lower[j]) * second;
                }
            }
        }
        if slice < slices {
            let part = slice % 2;
            #[unroll]
            for s in 0..a_own {
                left[part * a_slice + place_of(unit + s * units, rows, a_along)] = next_left[s];
            }
            #[unroll]
            for s in 0..b_own {
                right[part * b_slice + place_of(unit + s * units, columns, b_along)] = next_right[s];
            }
        }
        sync_cube();
    }

    let matrix = CUBE_POS_Z as usize * m * n;
    #[unroll]
    for s in 0..16usize {
        let own_row = row + (s / 8) * (rows / 2) + y * 4 + s % 8 / 2;
        let own_column = column + (s % 2) * (columns / 2) + x * 4;
        if own_row < m {
            let at = matrix + own_row * n + own_column;
            let sum = sums[s];
            if comptime!(vector == 4) {
                if own_column < n {
                    let mut whole = Vector::<f32, C>::empty();
                    #[unroll]
                    for j in 0..4usize {
                        whole[j] = sum[j];
                    }
                    out[at / 4] = whole;
                }
            } else {
                #[unroll]
                for j in 0..4usize {
                    if own_column + j < n {
                        out[at + j] = Vector::new(sum[j]);
                    }
                }
            }
        }
    }
}

/// Fours from one that is summed over to the next: one more than there are, so that units which write those of several at
/// once write to different banks.
const fn pitch(tile: usize) -> usize {
    tile / 4 + 1
}

/// Where the `slot`-th four of a slice is in shared memory: those of one that is summed over lie side by side.
#[cube]
fn place_of(slot: usize, #[comptime] tile: usize, #[comptime] along: bool) -> usize {
    let groups = comptime!(tile / 4);
    let mut place = slot / groups * comptime!(pitch(tile)) + slot % groups;
    if along {
        place = slot % SLICE * comptime!(pitch(tile)) + slot / SLICE;
    }
    place
}
