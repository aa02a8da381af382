//! Sums and gatherings of numbers, made of exchanges of bytes.

use std::ops::AddAssign;
use std::sync::Arc;

use bytemuck::Pod;

use super::{CommError, Message, Transport};

/// Numbers that ranks add.
pub(super) trait Value: Pod + Default + AddAssign {}

impl Value for f32 {}
impl Value for f64 {}

/// The most values that one message holds: counts of MPI are 32 bits wide.
const MOST: usize = 1 << 24;

/// Up to here a sum is made by all ranks in one exchange instead of two.
const FEW: usize = 1 << 12;

fn message<T: Pod>(values: &[T]) -> Message {
    Arc::new(bytemuck::cast_slice(values).to_vec())
}

/// Numbers of a message; its bytes may be aligned to nothing.
fn numbers<T: Value>(
    transport: &dyn Transport,
    other: usize,
    message: &[u8],
    expected: usize,
) -> Result<impl Iterator<Item = T>, CommError> {
    let size = size_of::<T>();
    if message.len() != expected * size {
        let (rank, expected, found) = (transport.rank(), expected * size, message.len());
        return Err(CommError::Mismatch { rank, expected, other, found });
    }
    Ok(message.chunks_exact(size).map(bytemuck::pod_read_unaligned))
}

/// The sum, in the order of the ranks, of messages that hold `count` values each.
fn sum<T: Value>(transport: &dyn Transport, messages: &[Message], count: usize) -> Result<Vec<T>, CommError> {
    let mut total = vec![T::default(); count];
    for (other, message) in messages.iter().enumerate() {
        for (total, value) in total.iter_mut().zip(numbers::<T>(transport, other, message, count)?) {
            *total += value;
        }
    }
    Ok(total)
}

/// This rank's piece of the sum over all ranks.
pub(super) fn reduce_scatter<T: Value>(transport: &mut dyn Transport, mut values: Vec<T>) -> Result<Vec<T>, CommError> {
    let ranks = transport.size();
    values.resize(values.len().next_multiple_of(ranks), T::default());
    let piece = values.len() / ranks;
    let mut own = Vec::with_capacity(piece);
    for start in (0..piece).step_by(MOST) {
        let range = start..(start + MOST).min(piece);
        let part = |rank: usize| message(&values[rank * piece..][range.clone()]);
        let found = transport.exchange((0..ranks).map(part).collect())?;
        own.extend(sum::<T>(transport, &found, range.len())?);
    }
    Ok(own)
}

/// The pieces of all ranks, which are of equal length.
pub(super) fn all_gather<T: Value>(transport: &mut dyn Transport, own: &[T]) -> Result<Vec<T>, CommError> {
    let ranks = transport.size();
    let mut all = vec![T::default(); ranks * own.len()];
    for start in (0..own.len()).step_by(MOST) {
        let range = start..(start + MOST).min(own.len());
        let part = message(&own[range.clone()]);
        let found = transport.exchange(vec![part; ranks])?;
        for (other, message) in found.iter().enumerate() {
            let target = &mut all[other * own.len()..][range.clone()];
            let values = numbers::<T>(transport, other, message, range.len())?;
            target.iter_mut().zip(values).for_each(|(target, value)| *target = value);
        }
    }
    Ok(all)
}

/// The sum over all ranks.
pub(super) fn all_reduce<T: Value>(transport: &mut dyn Transport, values: Vec<T>) -> Result<Vec<T>, CommError> {
    let (ranks, count) = (transport.size(), values.len());
    if count <= FEW {
        let found = transport.exchange(vec![message(&values); ranks])?;
        return sum(transport, &found, count);
    }
    let own = reduce_scatter(transport, values)?;
    let mut total = all_gather(transport, &own)?;
    total.truncate(count);
    Ok(total)
}

/// The values of rank `root`.
pub(super) fn broadcast<T: Value>(
    transport: &mut dyn Transport,
    values: &[T],
    root: usize,
) -> Result<Vec<T>, CommError> {
    let ranks = transport.size();
    let mut all = Vec::with_capacity(values.len());
    for start in (0..values.len()).step_by(MOST) {
        let range = start..(start + MOST).min(values.len());
        let sent = if transport.rank() == root { message(&values[range.clone()]) } else { Arc::default() };
        let found = transport.exchange(vec![sent; ranks])?;
        all.extend(numbers::<T>(transport, root, &found[root], range.len())?);
    }
    Ok(all)
}
