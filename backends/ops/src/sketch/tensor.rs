//! A tensor without numbers, and what operations of a kind take. Layouts are those of the CPU backend, because they decide
//! which operations copy and which write in place; GPUs do as it does but for what [`Sketched::with`] says.

use std::sync::Arc;

use burn::tensor::{BoolDType, DType, Shape, Slice, TensorData, TensorMetadata};

use super::SketchDevice;
use super::meter::{Buffer, Meter};
use crate::profile::{Profile, is_parallel};

/// A shape, and a share of a buffer.
#[derive(Debug, Clone)]
pub struct Sketched {
    shape: Shape,
    dtype: DType,
    /// How far apart neighbours of each axis are; `None` where elements lie one after the other from the start of the
    /// buffer.
    strides: Option<Vec<usize>>,
    buffer: Arc<Buffer>,
}

impl TensorMetadata for Sketched {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> Shape {
        self.shape.clone()
    }
}

/// The shape that two shapes broadcast to.
fn broadcast(a: &Shape, b: &Shape) -> Shape {
    a.iter().zip(b.iter()).map(|(&a, &b)| if a == 1 { b } else { a }).collect()
}

impl Sketched {
    /// A buffer of its own.
    pub(super) fn new(shape: Shape, dtype: DType, device: &SketchDevice) -> Self {
        Self::made(shape, dtype, device.0.clone())
    }

    /// A buffer of zeros, which the CPU backend makes a second time to align it.
    pub(super) fn zeros(shape: Shape, dtype: DType, device: &SketchDevice) -> Self {
        Self::new(shape, dtype, device).realigned()
    }

    fn realigned(self) -> Self {
        if let Some(meter) = self.meter().filter(|_| !self.is_gpu()) {
            meter.pass(self.buffer.bytes());
        }
        self
    }

    fn made(shape: Shape, dtype: DType, meter: Option<Arc<Meter>>) -> Self {
        let elements: u64 = shape.iter().map(|&size| size as u64).product();
        Self { shape, dtype, strides: None, buffer: Buffer::new(elements * dtype.size() as u64, meter) }
    }

    /// Another buffer beside this one.
    pub(super) fn fresh(&self, shape: Shape) -> Self {
        self.typed(shape, self.dtype)
    }

    /// The same of another type.
    pub(super) fn typed(&self, shape: Shape, dtype: DType) -> Self {
        Self::made(shape, dtype, self.buffer.meter().cloned())
    }

    pub(super) fn device(&self) -> SketchDevice {
        SketchDevice(self.buffer.meter().cloned())
    }

    pub(super) fn meter(&self) -> Option<&Meter> {
        self.buffer.meter().map(Arc::as_ref)
    }

    pub(super) fn sizes(&self) -> &Shape {
        &self.shape
    }

    /// Numbers, which there are none of: zeros. A single one, as the value of a loss is, means nothing.
    pub(super) fn data(&self) -> TensorData {
        if self.elements() > 1 {
            self.refuse();
        }
        TensorData::zeros::<f32, _>(self.shape.clone()).convert_dtype(self.dtype)
    }

    /// Says that numbers were asked for.
    pub(super) fn refuse(&self) {
        if let Some(meter) = self.meter() {
            meter.refuse();
        }
    }

    fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }

    fn is_unique(&self) -> bool {
        Arc::strong_count(&self.buffer) == 1
    }

    pub(super) fn is_gpu(&self) -> bool {
        self.meter().is_some_and(|meter| matches!(meter.profile(), Profile::Gpu { .. }))
    }

    fn strides(&self) -> Vec<usize> {
        self.strides.clone().unwrap_or_else(|| strides_of(&self.shape))
    }

    /// Whether it is all of its buffer, element after element.
    fn is_whole(&self) -> bool {
        self.strides.is_none() && self.buffer.bytes() == self.elements() * self.dtype.size() as u64
    }

    fn viewed(&self, shape: Shape, strides: Vec<usize>) -> Self {
        let strides = (strides != strides_of(&shape)).then_some(strides);
        Self { shape, strides, dtype: self.dtype, buffer: self.buffer.clone() }
    }

    /// The same, all of its buffer: a copy where it is not.
    pub(super) fn whole(self) -> Self {
        if self.is_whole() { self } else { self.fresh(self.shape.clone()) }
    }

    /// A function of each element, in place where nobody else has the buffer.
    pub(super) fn elementwise(self) -> Self {
        if self.is_unique() && self.strides.is_none() { self } else { self.fresh(self.shape.clone()) }
    }

    /// A function of each element that makes elements of another type.
    pub(super) fn mapped(self, dtype: DType) -> Self {
        if dtype == self.dtype { self } else { self.typed(self.shape.clone(), dtype) }
    }

    /// Some elements replaced by others, which only GPUs do in place.
    pub(super) fn replaced(self) -> Self {
        if self.is_gpu() { self.elementwise() } else { self.whole().copied() }
    }

    /// Whether something is so of each pair of elements.
    pub(super) fn compared(self, other: Self, dtype: BoolDType) -> Self {
        let shape = broadcast(&self.shape, &other.shape);
        self.either(&other).typed(shape, dtype.into())
    }

    /// A new tensor of the same shape, whoever has the buffer.
    pub(super) fn copied(self) -> Self {
        self.fresh(self.shape.clone())
    }

    /// A function of the elements of two tensors, either of which may have a single row, column and so on. On the CPU it is
    /// written over the first operand, on a GPU over either; `fast` says that the CPU's version for whole rows exists.
    pub(super) fn with(self, other: Self, fast: bool) -> Self {
        let shape = broadcast(&self.shape, &other.shape);
        let (first, second) = (self.shape == shape, other.shape == shape);
        let own = |operand: &Self| operand.is_unique() && operand.strides.is_none();
        if self.is_gpu() {
            return match (first && own(&self), second && own(&other)) {
                (true, _) => self,
                (_, true) => other,
                _ => self.either(&other).fresh(shape),
            };
        }
        let spread = other.expanded(&shape);
        let repeats = spread.strides.as_ref().is_some_and(|strides| strides.contains(&0));
        // An operand in disorder is put in order first where the other one is repeated.
        let lhs = if first { self } else { self.expanded(&shape) };
        let lhs = if fast && repeats && lhs.strides.is_some() { lhs.copied() } else { lhs };
        let rows = fast && repeats && spread.repeats_by_rows();
        if own(&lhs) && (spread.strides.is_none() || rows) {
            return lhs;
        }
        lhs.either(&spread).fresh(shape)
    }

    /// The one that is counted.
    fn either<'a>(&'a self, other: &'a Self) -> &'a Self {
        if self.buffer.meter().is_some() { self } else { other }
    }

    /// Whether it is one row for all, or one element for each row.
    fn repeats_by_rows(&self) -> bool {
        let strides = self.strides();
        let (Some(last), dims) = (strides.last(), strides.len()) else { return false };
        if *last == 1 {
            return (0..dims - 1).all(|axis| strides[axis] == 0 || self.shape[axis] == 1);
        }
        let inner = strides.iter().rev().take_while(|&&stride| stride == 0).count();
        let outer: Shape = self.shape.iter().take(dims - inner).copied().collect();
        *last == 0 && strides_of(&outer)[..] == strides[..dims - inner]
    }

    /// A view of a larger shape, in which axes of one element repeat.
    pub(super) fn expanded(&self, shape: &Shape) -> Self {
        let more = shape.len() - self.shape.len();
        let own = self.strides();
        let stride = |axis: usize| match axis.checked_sub(more) {
            Some(own_axis) if self.shape[own_axis] == shape[axis] => own[own_axis],
            _ => 0,
        };
        self.viewed(shape.clone(), (0..shape.len()).map(stride).collect())
    }

    /// The same elements in another shape: a view where they lie in order.
    pub(super) fn reshaped(self, shape: Shape) -> Self {
        let own = if self.strides.is_none() { self } else { self.copied() };
        Self { shape, ..own }
    }

    /// Axes in another order.
    pub(super) fn permuted(self, axes: &[usize]) -> Self {
        let own = self.strides();
        let shape = axes.iter().map(|&axis| self.shape[axis]).collect();
        self.viewed(shape, axes.iter().map(|&axis| own[axis]).collect())
    }

    /// Two axes changed for each other.
    pub(super) fn swapped(self, first: usize, second: usize) -> Self {
        let mut axes: Vec<usize> = (0..self.shape.len()).collect();
        axes.swap(first, second);
        self.permuted(&axes)
    }

    /// A part: a view.
    pub(super) fn sliced(self, slices: &[Slice]) -> Self {
        let mut shape = self.shape.clone();
        let mut strides = self.strides();
        let mut starts = false;
        for (axis, slice) in slices.iter().enumerate() {
            shape[axis] = slice.output_size(self.shape[axis]);
            strides[axis] *= slice.step.unsigned_abs();
            starts |= slice.start != 0 && shape[axis] > 0;
        }
        if slices.iter().any(|slice| slice.step < 0) {
            return self.fresh(shape);
        }
        let mut view = self.viewed(shape, strides.clone());
        if starts {
            // Elements that do not begin where the buffer begins are copied where order is asked for.
            view.strides = Some(strides);
        }
        view
    }

    /// Tensors one after the other along an axis.
    pub(super) fn joined(tensors: Vec<Self>, axis: usize) -> Self {
        if tensors.len() == 1 {
            return tensors.into_iter().next().unwrap_or_else(|| unreachable!("there is one"));
        }
        let counted = tensors.iter().find(|tensor| tensor.meter().is_some()).or(tensors.first());
        let Some(first) = counted.cloned() else { panic!("cat: no tensors") };
        let mut shape = first.shape.clone();
        shape[axis] = tensors.iter().map(|tensor| tensor.shape[axis]).sum();
        let tensors: Vec<Self> = match axis {
            0 => tensors,
            _ => tensors.into_iter().map(Self::whole).collect(),
        };
        let made = first.fresh(shape);
        drop(tensors);
        made
    }

    /// A number for each row along an axis. The CPU backend sums along any but the last one elsewhere first.
    pub(super) fn reduced(self, axis: usize) -> Self {
        let own = if self.strides.is_some() && self.shape.len() > 2 { self.copied() } else { self };
        let mut shape = own.shape.clone();
        shape[axis] = 1;
        let made = own.fresh(shape);
        if axis + 1 < own.shape.len() { made.realigned() } else { made }
    }

    /// So many of each row along an axis.
    pub(super) fn first(self, axis: usize, count: usize) -> Self {
        let mut shape = self.shape.clone();
        shape[axis] = count;
        self.fresh(shape)
    }

    /// One number of all.
    pub(super) fn total(self) -> Self {
        self.fresh(Shape::new([1]))
    }

    /// Rows along an axis, by their indices.
    pub(super) fn selected(self, axis: usize, indices: &Self) -> Self {
        let own = self.whole();
        let mut shape = own.shape.clone();
        shape[axis] = indices.shape[0];
        own.fresh(shape)
    }

    /// The product of matrices.
    pub(super) fn times(self, other: Self) -> Self {
        let rank = self.shape.len();
        let sizes = [self.shape[rank - 2], self.shape[rank - 1], other.shape[rank - 1]].map(|size| size as u64);
        if let Some((meter, by_all)) = self.meter().zip(is_parallel(sizes)) {
            meter.multiply(by_all);
        }
        let mut shape = broadcast(&self.shape, &other.shape);
        (shape[rank - 2], shape[rank - 1]) = (self.shape[rank - 2], other.shape[rank - 1]);
        self.either(&other).fresh(shape).realigned()
    }

    /// Windows along an axis: a view, of one more axis.
    pub(super) fn windows(self, axis: usize, size: usize, step: usize) -> Self {
        let mut strides = self.strides();
        let mut shape = self.shape.clone();
        shape[axis] = (self.shape[axis].saturating_sub(size)) / step.max(1) + usize::from(self.shape[axis] >= size);
        shape.push(size);
        strides.push(strides[axis]);
        strides[axis] *= step;
        self.viewed(shape, strides)
    }
}

/// Strides of elements that lie one after the other.
fn strides_of(shape: &Shape) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Methods that do the same, by their names, then what they are given and what they do.
macro_rules! ops {
    ($($($name:ident)+: $given:tt -> $made:ty $body:block)*) => {
        $($(
            fn $name $given -> $made $body
        )+)*
    };
}
pub(super) use ops;
