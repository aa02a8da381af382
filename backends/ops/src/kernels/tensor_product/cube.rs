//! The operation on wgpu and CUDA: a unit for each row and vector of channels, which walks the terms.
#![allow(missing_docs, reason = "the kernel macro makes items without them")]
#![allow(unsafe_code, reason = "the kernel checks its bounds itself; `Table` checks the components")]
#![allow(clippy::too_many_arguments, reason = "kernels have no structs for their buffers")]

use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use cubecl::prelude::*;

use super::{Rows, Slot, Table, reference};
use crate::cube::{Cube, addresses, dual_buffers, dual_tensor, elementwise, empty_dual, upload, vector_size};
use crate::dual::Dual;

/// See [`KernelBackend::tensor_product`](crate::kernels::KernelBackend::tensor_product).
pub(in crate::kernels) fn tensor_product<R: CubeRuntime, BT: BoolElement>(
    table: &Table,
    missing: Slot,
    factors: [Dual<Cube<R, BT>>; 3],
) -> Dual<Cube<R, BT>> {
    let [rows, channels] = table.channels(missing, &factors);
    let terms = table.rows(missing);
    if rows * channels == 0 || !table.is_full(missing) {
        // CUDA launches nothing that has no units; and the kernel writes what has terms.
        return reference::tensor_product(table, missing, factors);
    }
    let moves = factors.each_ref().map(|factor| factor.tangent.is_some());
    let [[x, x_moved], [y, y_moved], [z, z_moved]] = factors.each_ref().map(dual_buffers);
    let moved = moves.contains(&true);
    let components = table.size(missing);
    let [found, found_moved] = empty_dual(&x, [rows, components * channels], moved);
    let size = vector_size(channels);
    let (columns, client) = (channels / size, x.client.clone());
    let units = rows * columns;
    let (count, dim) = elementwise(&client, units);
    let places = addresses(&[&x, &y, &z, &found]);
    let numbers = upload::<R, BT>(numbers(terms), &x);
    let sizes = missing.others().map(|slot| table.size(slot));
    // SAFETY: units beyond the rows stop, and components are within those of the table, which all buffers have.
    unsafe {
        product::launch_unchecked::<R>(
            &client,
            count,
            dim,
            places,
            size,
            x.into_array_arg(),
            x_moved.into_array_arg(),
            y.into_array_arg(),
            y_moved.into_array_arg(),
            z.into_array_arg(),
            z_moved.into_array_arg(),
            numbers.into_array_arg(),
            found.clone().into_array_arg(),
            found_moved.clone().into_array_arg(),
            units,
            columns,
            terms.runs.len(),
            sizes[0],
            sizes[1],
            sizes[2],
            components,
            moves[0],
            moves[1],
            moves[2],
        );
    }
    dual_tensor([found, found_moved], moved)
}

/// The terms in the order in which the kernel reads them: for each component of the result it and its number of groups; for
/// each group its component of the first factor and its number of terms; for each term its two components, and the bits of
/// its coefficient.
fn numbers(rows: &Rows) -> Vec<i32> {
    let (mut groups, mut terms) = (rows.groups.iter(), rows.terms.iter());
    let mut numbers = Vec::new();
    for run in &rows.runs {
        numbers.extend([run.out, run.groups]);
        for group in groups.by_ref().take(run.groups as usize) {
            numbers.extend([group.first, group.terms]);
            let terms = terms.by_ref().take(group.terms as usize);
            numbers.extend(terms.flat_map(|&(second, third, factor)| [second, third, factor.to_bits()]));
        }
    }
    numbers.into_iter().map(u32::cast_signed).collect()
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn product<N: Size>(
    x: &Array<Vector<f32, N>>,
    x_moved: &Array<Vector<f32, N>>,
    y: &Array<Vector<f32, N>>,
    y_moved: &Array<Vector<f32, N>>,
    z: &Array<Vector<f32, N>>,
    z_moved: &Array<Vector<f32, N>>,
    numbers: &Array<i32>,
    found: &mut Array<Vector<f32, N>>,
    found_moved: &mut Array<Vector<f32, N>>,
    units: usize,
    columns: usize,
    runs: usize,
    x_components: usize,
    y_components: usize,
    z_components: usize,
    components: usize,
    #[comptime] x_moves: bool,
    #[comptime] y_moves: bool,
    #[comptime] z_moves: bool,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let row = ABSOLUTE_POS / columns;
    let column = ABSOLUTE_POS % columns;
    let own_x = row * x_components * columns + column;
    let own_y = row * y_components * columns + column;
    let own_z = row * z_components * columns + column;
    let own = row * components * columns + column;
    let mut at = 0usize;
    for _run in 0..runs {
        let out = own + usize::cast_from(numbers[at]) * columns;
        let groups = usize::cast_from(numbers[at + 1]);
        at += 2;
        let mut sum = Vector::<f32, N>::new(0.0);
        let mut sum_moved = Vector::<f32, N>::new(0.0);
        for _group in 0..groups {
            let a = own_x + usize::cast_from(numbers[at]) * columns;
            let terms = usize::cast_from(numbers[at + 1]);
            at += 2;
            let mut inner = Vector::<f32, N>::new(0.0);
            let mut inner_moved = Vector::<f32, N>::new(0.0);
            for _term in 0..terms {
                let b = own_y + usize::cast_from(numbers[at]) * columns;
                let c = own_z + usize::cast_from(numbers[at + 1]) * columns;
                let factor = Vector::new(f32::reinterpret(numbers[at + 2]));
                at += 3;
                let left = y[b] * factor;
                let right = z[c];
                inner += left * right;
                if y_moves {
                    inner_moved += y_moved[b] * factor * right;
                }
                if z_moves {
                    inner_moved += left * z_moved[c];
                }
            }
            sum += x[a] * inner;
            if y_moves || z_moves {
                sum_moved += x[a] * inner_moved;
            }
            if x_moves {
                sum_moved += x_moved[a] * inner;
            }
        }
        found[out] = sum;
        if x_moves || y_moves || z_moves {
            found_moved[out] = sum_moved;
        }
    }
}
