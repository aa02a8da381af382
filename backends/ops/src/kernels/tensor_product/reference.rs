//! The operation in plain tensor operations: the definition that every other version is held against.

use burn::tensor::{Int, Tensor, TensorData};

use super::{Slot, Table};
use crate::dual::Dual;
use crate::kernels::KernelBackend;

/// See [`KernelBackend::tensor_product`](crate::kernels::KernelBackend::tensor_product).
pub fn tensor_product<B: KernelBackend>(table: &Table, missing: Slot, factors: [Dual<B>; 3]) -> Dual<B> {
    let [rows, channels] = table.channels(missing, &factors);
    let components = table.size(missing);
    let device = factors[0].value.device();
    let count = table.terms().len();
    if rows == 0 || count == 0 {
        // CUDA launches nothing on tensors without elements.
        let shape = [rows, components * channels];
        return Dual::new(if rows == 0 { Tensor::empty(shape, &device) } else { Tensor::zeros(shape, &device) });
    }
    let mut slots = missing.others().into_iter();
    let [x, y, z] = factors.map(|factor| {
        let slot = slots.next().unwrap_or(missing);
        let places: Vec<i32> = table.terms().iter().map(|term| term.at[slot as usize] as i32).collect();
        let places = Tensor::<B, 1, Int>::from_data(TensorData::new(places, [count]), &device);
        factor.map(|factor| factor.reshape([rows, table.size(slot), channels]).select(1, places.clone()))
    });
    let mut matrix = vec![0.0; count * components];
    for (k, term) in table.terms().iter().enumerate() {
        matrix[k * components + term.at[missing as usize]] = term.factor;
    }
    let data = TensorData::new(matrix, [count, components]).convert::<B::FloatElem>();
    let matrix = Tensor::from_data(data, &device);
    let terms = x.times(&y, |x, y| x * y).times(&z, |xy, z| xy * z);
    terms.map(|terms| {
        let by_channel = terms.swap_dims(1, 2).reshape([rows * channels, count]);
        let found: Tensor<B, 3> = B::matmul(by_channel, matrix.clone()).reshape([rows, channels, components]);
        found.swap_dims(1, 2).reshape([rows, components * channels])
    })
}
