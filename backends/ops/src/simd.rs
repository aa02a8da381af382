//! Elementwise work on rows, written so that the compiler vectorises it, compiled for the widest
//! vectors of the CPU at run time by `pulp`.

pub(crate) mod dual;
pub(crate) mod lanes;

/// `exp(x)` for single precision: `2^n` times a polynomial on half an octave, about 1 ulp.
/// Arguments are clamped to where the result is a normal number.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to an integer without a call.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 as a short number and its rest, so that n * LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor coefficients of exp, adjusted for the interval (Cephes, expf.c).
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let p = p * r * r + r + 1.0;
    // The last bits of the shifted number are n; moved into the exponent they are 2^n.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1f32.to_bits()));
    p * power
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// `silu(x)` and its derivative.
#[inline(always)]
pub(crate) fn silu_and_slope(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}

/// `x = silu(x)`.
#[inline(always)]
pub(crate) fn silu_all(x: &mut [f32]) {
    for x in x {
        *x = silu(*x);
    }
}

/// `x, slope = silu(x), silu'(x)`.
#[inline(always)]
pub(crate) fn silu_and_slope_all(x: &mut [f32], slope: &mut [f32]) {
    for (x, slope) in x.iter_mut().zip(slope) {
        (*x, *slope) = silu_and_slope(*x);
    }
}

/// `x = a silu(x + b)`.
#[inline(always)]
pub(crate) fn biased_silu(x: &mut [f32], b: &[f32], a: f32) {
    for (x, b) in x.iter_mut().zip(b) {
        *x = a * silu(*x + b);
    }
}

/// `x, slope = silu(x + b), silu'(x + b)`.
#[inline(always)]
pub(crate) fn biased_silu_and_slope(x: &mut [f32], slope: &mut [f32], b: &[f32]) {
    for ((x, slope), b) in x.iter_mut().zip(slope).zip(b) {
        (*x, *slope) = silu_and_slope(*x + b);
    }
}

/// The gradient of a gate's hidden row: `x` is the row before its bias and becomes
/// `to_gate w silu'(x + b)`; `to_gate silu(x + b)` is added to the gradient of the readout `w`, where it is wanted.
#[inline(always)]
pub(crate) fn gate_row(x: &mut [f32], b: &[f32], w: &[f32], to_gate: f32, to_w: Option<&mut [f32]>) {
    let rows = x.iter_mut().zip(b).zip(w);
    if let Some(to_w) = to_w {
        for (((x, b), w), to_w) in rows.zip(to_w) {
            let (value, slope) = silu_and_slope(*x + b);
            *to_w += to_gate * value;
            *x = to_gate * w * slope;
        }
    } else {
        for ((x, b), w) in rows {
            let (_, slope) = silu_and_slope(*x + b);
            *x = to_gate * w * slope;
        }
    }
}

/// `y = a x`.
#[inline(always)]
pub(crate) fn scaled(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = a * x;
    }
}

/// `y *= a x`.
#[inline(always)]
pub(crate) fn times(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y *= a * x;
    }
}

/// `y += x`.
#[inline(always)]
pub(crate) fn add(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `y += a x`.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `x . y`, summed in sixteen lanes whatever the CPU, so that results do not depend on it.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    let (xs, x_rest) = x.as_chunks::<16>();
    let (ys, y_rest) = y.as_chunks::<16>();
    for (x, y) in xs.iter().zip(ys) {
        for k in 0..16 {
            lanes[k] += x[k] * y[k];
        }
    }
    let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silu_is_exact_to_a_few_roundings() {
        for k in -4000..=4000 {
            let x = k as f32 * 0.025;
            let y = f64::from(x);
            let sigmoid = 1.0 / (1.0 + (-y).exp());
            let (value, slope) = silu_and_slope(x);
            let close = |found: f32, exact: f64| (f64::from(found) - exact).abs() <= 4e-7 * exact.abs() + 1e-36;
            // Beyond -87 the true value is below the smallest that matters.
            if x > -86.0 {
                assert!(close(value, y * sigmoid) && value == silu(x), "{x}: {value}");
                let exact = sigmoid * (1.0 + y * (1.0 - sigmoid));
                // The slope has a zero near -1.28, where its terms cancel.
                assert!((f64::from(slope) - exact).abs() < 3e-7 * (exact.abs() + sigmoid * (1.0 + y.abs())), "{x}");
            }
        }
        assert!(silu(f32::NAN).is_nan() && silu(-1e4).abs() < 1e-30 && silu(1e4) == 1e4);
    }

    #[test]
    fn dot_takes_any_length() {
        for length in [0, 1, 15, 16, 17, 50] {
            let x: Vec<f32> = (0..length).map(|k| k as f32).collect();
            let ones = vec![1.0; length];
            assert_eq!(dot(&x, &ones), x.iter().sum::<f32>());
        }
    }
}
