//! Sums of rows in groups: a cube of units for each group and block of columns, which shares the rows
//! among its units and adds up what they found in a fixed order.

use std::ops::Range;

use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::{CubeDim, calculate_cube_count_elemwise};

use super::{Cube, addresses, integers, vector_size};
use crate::index::Grouping;

/// Units of a cube.
const UNITS: usize = 256;

/// Adds to `sums [N, C]` those of the rows `range` of E, which `rows [_, C]` holds from its row `first` on; only
/// `groups` have rows among them. Groups without any keep their sums.
pub(crate) fn add_groups<R: CubeRuntime, BT: BoolElement>(
    grouping: &Grouping<Cube<R, BT>>,
    rows: &CubeTensor<R>,
    first: usize,
    range: &Range<usize>,
    groups: &Range<usize>,
    sums: &CubeTensor<R>,
) {
    let width = sums.meta.shape()[1];
    let [held, columns] = [0, 1].map(|dim| rows.meta.shape()[dim]);
    assert!(first + range.len() <= held && columns == width, "add_groups: {held} rows of {columns} for {range:?}");
    if range.is_empty() || groups.is_empty() || width == 0 {
        return;
    }
    let client = &rows.client;
    let size = vector_size(width);
    let columns = width / size;
    let across = columns.next_power_of_two().min(32);
    let dim = CubeDim::new_2d(across as u32, (UNITS / across) as u32);
    let cubes = groups.len() * columns.div_ceil(across);
    let count = calculate_cube_count_elemwise(client, cubes * UNITS, dim);
    let offsets = integers(&grouping.offsets);
    let order = grouping.order.as_ref().map_or_else(|| offsets.clone(), integers);
    // SAFETY: `HostGrouping` has checked groups and rows; each cube stays within its group's rows of the
    // range, and cubes beyond the last do nothing.
    #[allow(unsafe_code, reason = "the kernel checks its bounds itself")]
    unsafe {
        add_rows::launch_unchecked::<R>(
            client,
            count,
            dim,
            addresses(&[rows, sums]),
            size,
            rows.clone().into_array_arg(),
            offsets.into_array_arg(),
            order.into_array_arg(),
            sums.clone().into_array_arg(),
            first,
            range.start,
            range.end,
            groups.start,
            cubes,
            columns,
            grouping.order.is_some(),
        );
    }
}

/// The place in `from..to` of the first row that is not below `bound`.
#[cube]
fn first_not_below(order: &Array<i32>, from: usize, to: usize, bound: usize, #[comptime] ordered: bool) -> usize {
    let mut low = from;
    if ordered {
        let mut high = to;
        while low < high {
            let middle = (low + high) / 2;
            if usize::cast_from(order[middle]) < bound {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
    } else {
        low = min(max(from, bound), to);
    }
    low
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn add_rows<N: Size>(
    rows: &Array<Vector<f32, N>>,
    offsets: &Array<i32>,
    order: &Array<i32>,
    sums: &mut Array<Vector<f32, N>>,
    held_from: usize,
    start: usize,
    end: usize,
    first_group: usize,
    cubes: usize,
    columns: usize,
    #[comptime] ordered: bool,
) {
    let across = CUBE_DIM_X as usize;
    let down = CUBE_DIM_Y as usize;
    let blocks = columns.div_ceil(across);
    // Cubes beyond the last work on the last group's rows as well, and write nothing.
    let cube = min(CUBE_POS, cubes - 1);
    let group = first_group + cube / blocks;
    let column = cube % blocks * across + UNIT_POS_X as usize;
    let first = usize::cast_from(offsets[group]);
    let last = usize::cast_from(offsets[group + 1]);
    let from = first_not_below(order, first, last, start, ordered);
    let to = first_not_below(order, from, last, end, ordered);
    let mut sum = Vector::<f32, N>::new(0.0);
    if column < columns {
        let mut k = from + UNIT_POS_Y as usize;
        while k < to {
            let mut row = k;
            if ordered {
                row = usize::cast_from(order[k]);
            }
            sum += rows[(row - start + held_from) * columns + column];
            k += down;
        }
    }
    let mut partial = SharedMemory::<Vector<f32, N>>::new(256usize);
    let own = UNIT_POS as usize;
    partial[own] = sum;
    sync_cube();
    let mut step = down / 2;
    while step > 0 {
        if (UNIT_POS_Y as usize) < step {
            let other = partial[own + step * across];
            partial[own] += other;
        }
        sync_cube();
        step /= 2;
    }
    if UNIT_POS_Y == 0 && column < columns && CUBE_POS < cubes && from < to {
        sums[group * columns + column] += partial[own];
    }
}
