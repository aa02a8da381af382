//! Elementwise work on rows of values and of their tangents. `x` and `t` are the two; SiLU has the tangent
//! `silu'(x) t`, whose derivative by x, `silu''(x) t`, is its bend.

use super::sigmoid;

/// `silu(x)` and its first two derivatives, of one exponential.
#[inline(always)]
fn silu_and_slopes(x: f32) -> (f32, f32, f32) {
    let s = sigmoid(x);
    let rest = 1.0 - s;
    (x * s, s * (1.0 + x * rest), s * rest * (2.0 + x * (1.0 - 2.0 * s)))
}

/// `x, t = silu(x), silu'(x) t`.
#[inline(always)]
pub(crate) fn silu(x: &mut [f32], t: &mut [f32]) {
    for (x, t) in x.iter_mut().zip(t) {
        let (value, slope) = super::silu_and_slope(*x);
        (*x, *t) = (value, slope * *t);
    }
}

/// `x, t = silu(x), silu'(x) t`, and what their gradients need: `slope, bend = silu'(x), silu''(x) t`.
#[inline(always)]
pub(crate) fn silu_and_bend(x: &mut [f32], t: &mut [f32], slope: &mut [f32], bend: &mut [f32]) {
    for (((x, t), slope), bend) in x.iter_mut().zip(t).zip(slope).zip(bend) {
        let (value, first, second) = silu_and_slopes(*x);
        (*slope, *bend) = (first, second * *t);
        (*x, *t) = (value, first * *t);
    }
}

/// The same of `x + b`.
#[inline(always)]
pub(crate) fn biased_silu_and_bend(x: &mut [f32], t: &mut [f32], slope: &mut [f32], bend: &mut [f32], b: &[f32]) {
    for ((((x, t), slope), bend), b) in x.iter_mut().zip(t).zip(slope).zip(bend).zip(b) {
        let (value, first, second) = silu_and_slopes(*x + b);
        (*slope, *bend) = (first, second * *t);
        (*x, *t) = (value, first * *t);
    }
}

/// `x, t = a silu(x + b), a silu'(x + b) t + a' silu(x + b)`, where the factor is `[a, a']`.
#[inline(always)]
pub(crate) fn biased_silu(x: &mut [f32], t: &mut [f32], b: &[f32], [a, moved]: [f32; 2]) {
    for ((x, t), b) in x.iter_mut().zip(t).zip(b) {
        let (value, slope) = super::silu_and_slope(*x + b);
        (*x, *t) = (a * value, a * (slope * *t) + moved * value);
    }
}

/// `y, u = a x, a t + a' x`.
#[inline(always)]
pub(crate) fn scaled(y: &mut [f32], u: &mut [f32], [a, moved]: [f32; 2], x: &[f32], t: &[f32]) {
    for (((y, u), x), t) in y.iter_mut().zip(u).zip(x).zip(t) {
        (*y, *u) = (a * x, a * t + moved * x);
    }
}

/// From the gradients `y` and `u` of `a silu(x)` and its tangent those of `x` and `t`, in their place:
/// `y, u = (a y + a' u) slope + a u bend, a u slope`.
#[inline(always)]
pub(crate) fn back(y: &mut [f32], u: &mut [f32], [a, moved]: [f32; 2], slope: &[f32], bend: &[f32]) {
    for (((y, u), slope), bend) in y.iter_mut().zip(u).zip(slope).zip(bend) {
        let to_tangent = a * *u;
        *y = (a * *y + moved * *u) * slope + to_tangent * bend;
        *u = to_tangent * slope;
    }
}

/// The gradients of a gate's hidden row: `x`, before its bias, and `t` become
/// `w (g silu'(x + b) + g' silu''(x + b) t)` and `w g' silu'(x + b)`, where `[g, g']` are those of the gate;
/// `g silu(x + b) + g' silu'(x + b) t` is added to the gradient of the readout `w`, where it is wanted.
#[inline(always)]
pub(crate) fn gate_row(
    x: &mut [f32],
    t: &mut [f32],
    b: &[f32],
    w: &[f32],
    [to_gate, to_tangent]: [f32; 2],
    to_w: Option<&mut [f32]>,
) {
    let rows = x.iter_mut().zip(t).zip(b).zip(w);
    if let Some(to_w) = to_w {
        for ((((x, t), b), w), to_w) in rows.zip(to_w) {
            let (value, slope, second) = silu_and_slopes(*x + b);
            *to_w += to_gate * value + to_tangent * (slope * *t);
            *x = w * (to_gate * slope + to_tangent * (second * *t));
            *t = w * (to_tangent * slope);
        }
    } else {
        for (((x, t), b), w) in rows {
            let (_, slope, second) = silu_and_slopes(*x + b);
            *x = w * (to_gate * slope + to_tangent * (second * *t));
            *t = w * (to_tangent * slope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_of_silu_are_exact_to_a_few_roundings() {
        for k in -3000..=3000 {
            let x = k as f32 * 0.025;
            let y = f64::from(x);
            let sigmoid = 1.0 / (1.0 + (-y).exp());
            let (value, slope, second) = silu_and_slopes(x);
            assert_eq!((value, slope), super::super::silu_and_slope(x));
            let exact = sigmoid * (1.0 - sigmoid) * (2.0 + y * (1.0 - 2.0 * sigmoid));
            // One less the sigmoid is rounded where the sigmoid is near one.
            let noise = sigmoid * (1.0 - sigmoid + 1e-1) * (2.0 + y.abs());
            assert!((f64::from(second) - exact).abs() < 1e-6 * noise, "{x}: {second} instead of {exact}");
        }
    }
}
