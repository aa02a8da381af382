//! Symmetric traceless tensors in D dimensions, the irreducible features of E(n): orthonormal bases of them, and the products
//! of two that make a third.
//!
//! A tensor of degree l is symmetric in l axes and has no trace; degree 0 is a scalar, degree 1 a vector. In three dimensions
//! there are 2 l + 1 of degree l, and contracted with a direction they are the spherical harmonics. A product of degrees a and
//! b that makes degree c contracts (a + b - c) / 2 axes of one with as many of the other, and leaves out what is not symmetric
//! and traceless. Products that would need the Levi-Civita symbol are not among them: they exist in three dimensions alone,
//! and make tensors that turn as others do but not under reflections.

use isograd_ops::kernels::tensor_product::Term;

/// Below this, what is left of a unit tensor is rounding.
const NOTHING: f64 = 1e-9;

/// Bases of the tensors of degrees 0 to l in D dimensions.
#[derive(Debug, Clone)]
pub struct Harmonics {
    dims: usize,
    /// For each degree its tensors, `D^l` numbers each, of unit length and orthogonal.
    bases: Vec<Vec<Vec<f64>>>,
}

impl Harmonics {
    /// Those of degrees up to `most`.
    pub fn new(dims: usize, most: usize) -> Self {
        Self { dims, bases: (0..=most).map(|degree| basis(dims, degree)).collect() }
    }

    /// Components of a tensor of a degree: in three dimensions `2 l + 1`.
    pub fn components(&self, degree: usize) -> usize {
        self.bases[degree].len()
    }

    /// The coefficients `c_abo` of the product of tensors of two degrees that makes one of a third; each component of the
    /// result has coefficients whose squares add up to one. Empty where there is no such product.
    pub fn coupling(&self, first: usize, second: usize, out: usize) -> Vec<(usize, usize, usize, f64)> {
        let twice = (first + second).checked_sub(out).filter(|twice| twice % 2 == 0);
        let Some(contracted) = twice.map(|twice| twice / 2).filter(|&axes| axes <= first.min(second)) else {
            return Vec::new();
        };
        let power = |axes: usize| self.dims.pow(axes as u32);
        let (left, inner, right) = (power(first - contracted), power(contracted), power(second - contracted));
        let mut found = Vec::new();
        for (a, x) in self.bases[first].iter().enumerate() {
            for (b, y) in self.bases[second].iter().enumerate() {
                let mut product = vec![0.0; left * right];
                for i in 0..left {
                    for k in 0..inner {
                        for j in 0..right {
                            product[i * right + j] += x[i * inner + k] * y[k * right + j];
                        }
                    }
                }
                for (o, z) in self.bases[out].iter().enumerate() {
                    let coefficient = dot(&product, z);
                    if coefficient.abs() > NOTHING {
                        found.push((a, b, o, coefficient));
                    }
                }
            }
        }
        // By Schur's lemma the same for every component of the result.
        let square: f64 = found.iter().filter(|term| term.2 == 0).map(|term| term.3 * term.3).sum();
        found.iter_mut().for_each(|term| term.3 /= square.sqrt());
        found
    }

    /// The component that tensors of a degree begin with, where those of all degrees lie one after the other.
    pub fn start(&self, degree: usize) -> usize {
        (0..degree).map(|below| self.components(below)).sum()
    }

    /// The terms of a path that makes degree `out` of the degrees `first` and `second`, where tensors of all degrees lie one
    /// after the other in either factor and in the result; see [`Self::coupling`].
    pub fn terms(&self, path: usize, [first, second, out]: [usize; 3]) -> impl Iterator<Item = Term> {
        let starts = [first, second, out].map(|degree| self.start(degree));
        let coupling = self.coupling(first, second, out).into_iter();
        coupling.map(move |(a, b, o, factor)| Term { at: [path, starts[0] + a, starts[1] + b, starts[2] + o], factor })
    }

    /// Those products of two of the degrees up to `first` and `second` that make one up to `out`, as `[first, second, out]`.
    pub fn paths(&self, [first, second, out]: [usize; 3]) -> Vec<[usize; 3]> {
        let mut paths = Vec::new();
        for a in 0..=first {
            for b in 0..=second {
                paths.extend((0..=out).map(|o| [a, b, o]));
            }
        }
        paths.retain(|&[a, b, o]| !self.coupling(a, b, o).is_empty());
        paths
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// An orthonormal basis of the symmetric traceless tensors of a degree: monomials, those of more different axes first, less
/// what they have of `r^2` times a polynomial and of those before them. Monomials of different parities in some axis are
/// orthogonal as they are, which leaves products with few terms.
fn basis(dims: usize, degree: usize) -> Vec<Vec<f64>> {
    let mut known: Vec<Vec<f64>> = Vec::new();
    let traces = degree.checked_sub(2).map_or(Vec::new(), |rest| monomials(dims, rest));
    for monomial in traces {
        let terms: Vec<Vec<usize>> = (0..dims).map(|axis| sorted([&monomial[..], &[axis, axis]].concat())).collect();
        keep(&mut known, tensor(dims, degree, &terms));
    }
    let traces = known.len();
    for monomial in monomials(dims, degree) {
        keep(&mut known, tensor(dims, degree, &[monomial]));
    }
    known.split_off(traces)
}

/// Adds what a tensor has beside those that are known, at unit length, if it has anything.
fn keep(known: &mut Vec<Vec<f64>>, mut tensor: Vec<f64>) {
    let whole = dot(&tensor, &tensor).sqrt();
    // Twice, because the first time leaves rounding along what was large.
    for _ in 0..2 {
        for other in known.iter() {
            let along = dot(&tensor, other);
            tensor.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
        }
    }
    let length = dot(&tensor, &tensor).sqrt();
    if length > NOTHING * whole {
        tensor.iter_mut().for_each(|x| *x = if x.abs() > NOTHING * length { *x / length } else { 0.0 });
        known.push(tensor);
    }
}

fn sorted(mut axes: Vec<usize>) -> Vec<usize> {
    axes.sort_unstable();
    axes
}

/// The monomials of a degree, as their axes in ascending order; those of more different axes first.
fn monomials(dims: usize, degree: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..degree {
        let longer = |axes: &Vec<usize>| {
            let last = axes.last().copied().unwrap_or(0);
            (last..dims).map(|axis| [&axes[..], &[axis]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    let different = |axes: &Vec<usize>| axes.chunk_by(|a, b| a == b).count();
    all.sort_by_key(|axes| std::cmp::Reverse(different(axes)));
    all
}

/// The symmetric tensor of a sum of monomials, `D^l` numbers.
fn tensor(dims: usize, degree: usize, monomials: &[Vec<usize>]) -> Vec<f64> {
    let factorial = |n: usize| (1..=n).product::<usize>() as f64;
    let orders = |axes: &[usize]| {
        factorial(axes.len()) / axes.chunk_by(|a, b| a == b).map(|same| factorial(same.len())).product::<f64>()
    };
    let value = |place: usize| {
        let axes = sorted((0..degree).map(|k| place / dims.pow(k as u32) % dims).collect());
        monomials.iter().filter(|monomial| **monomial == axes).map(|axes| 1.0 / orders(axes)).sum()
    };
    (0..dims.pow(degree as u32)).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_harmonic_polynomials() {
        let counts = |dims| -> Vec<usize> { (0..=4).map(|degree| basis(dims, degree).len()).collect() };
        assert_eq!(counts(1), [1, 1, 0, 0, 0]);
        assert_eq!(counts(2), [1, 2, 2, 2, 2]);
        assert_eq!(counts(3), [1, 3, 5, 7, 9]);
        // (l + 1)^2 in four dimensions.
        assert_eq!(counts(4), [1, 4, 9, 16, 25]);
    }

    #[test]
    fn tensors_are_symmetric_traceless_and_orthonormal() {
        for (dims, degree) in [(2, 3), (3, 2), (3, 3), (4, 3), (3, 4)] {
            let basis = basis(dims, degree);
            for (k, x) in basis.iter().enumerate() {
                for (l, y) in basis.iter().enumerate() {
                    assert!((dot(x, y) - f64::from(u8::from(k == l))).abs() < 1e-12);
                }
                let rest = dims.pow(degree as u32 - 2);
                for place in 0..rest {
                    let trace: f64 = (0..dims).map(|axis| x[(axis * dims + axis) * rest + place]).sum();
                    assert!(trace.abs() < 1e-12, "{dims} dimensions, degree {degree}: trace {trace}");
                    for (i, j) in [(0, 1), (1, 0)] {
                        assert_eq!(x[(i * dims + j) * rest + place], x[(j * dims + i) * rest + place]);
                    }
                }
            }
        }
    }

    #[test]
    fn couplings_of_low_degrees_are_the_known_ones() {
        let harmonics = Harmonics::new(3, 2);
        // The inner product of two vectors, and a vector times a scalar.
        let inner: Vec<_> =
            harmonics.coupling(1, 1, 0).into_iter().map(|(a, b, o, c)| (a, b, o, (c * c * 3.0).round())).collect();
        assert_eq!(inner, [(0, 0, 0, 1.0), (1, 1, 0, 1.0), (2, 2, 0, 1.0)]);
        assert_eq!(harmonics.coupling(0, 1, 1), [(0, 0, 0, 1.0), (0, 1, 1, 1.0), (0, 2, 2, 1.0)]);
        // No cross product, no product beyond the triangle.
        assert!(harmonics.coupling(1, 1, 1).is_empty() && harmonics.coupling(0, 1, 2).is_empty());
        // In two dimensions the symmetric product of two traceless matrices is a multiple of the unit matrix.
        assert!(Harmonics::new(2, 2).coupling(2, 2, 2).is_empty());
    }
}
