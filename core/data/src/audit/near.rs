//! Pairs of points that are close to each other: a k-d tree over all points, asked for the neighbours of each.
//!
//! Crates of such trees either hold few points of equal coordinates on an axis, or none at all of more than a handful of
//! dimensions with a radius; data sets have thousands of copies.

use rayon::prelude::*;

/// Points that are looked through one by one.
const LEAF: usize = 12;

/// Points that are searched in parallel at the least.
const CHUNK: usize = 256;

/// Of each point, so many of its nearest are reported, out of so many that are found first.
const PARTNERS: usize = 4;
const LOOKED_AT: usize = 32;

/// Marks a range of points that is not divided.
const WHOLE: u8 = u8::MAX;

/// Two points, by their positions, the first before the second, and how far they are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) points: [u32; 2],
    pub(super) distance: f32,
}

/// Pairs of points that are at most `radius` apart: of each point, some of its nearest, so that whoever has such a partner is
/// in one of the pairs. The work is about linear in the number of points, also where many are equal.
pub(super) fn pairs<const D: usize>(points: &[[f32; D]], radius: f32) -> Vec<Pair> {
    let mut order: Vec<u32> = (0..points.len() as u32).collect();
    let mut axes = vec![WHOLE; points.len()];
    divide(points, &mut order, &mut axes);
    let of = |&own: &u32| {
        let mut found: Vec<(f32, u32)> = Vec::new();
        let point = &points[own as usize];
        visit(points, &order, &axes, point, radius, &mut |other| {
            let distance = square(point, &points[other as usize]);
            if other != own && distance <= radius * radius {
                found.push((distance, other));
            }
            found.len() < LOOKED_AT
        });
        found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.truncate(PARTNERS);
        found
            .into_iter()
            .map(move |(square, other)| Pair { points: [own.min(other), own.max(other)], distance: square.sqrt() })
    };
    let mut pairs: Vec<Pair> = order.par_iter().with_min_len(CHUNK).flat_map_iter(of).collect();
    pairs.sort_unstable_by_key(|pair| pair.points);
    pairs.dedup_by_key(|pair| pair.points);
    pairs
}

fn square<const D: usize>(a: &[f32; D], b: &[f32; D]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Puts the middle of a range in its place along the widest axis, smaller ones before it, and so on in both halves.
fn divide<const D: usize>(points: &[[f32; D]], order: &mut [u32], axes: &mut [u8]) {
    if order.len() <= LEAF {
        return;
    }
    let Some(axis) = widest(points, order) else { return };
    let middle = order.len() / 2;
    order.select_nth_unstable_by(middle, |&a, &b| points[a as usize][axis].total_cmp(&points[b as usize][axis]));
    axes[middle] = axis as u8;
    let (low, high) = order.split_at_mut(middle);
    let (low_axes, high_axes) = axes.split_at_mut(middle);
    let mut sides = (|| divide(points, low, low_axes), || divide(points, &mut high[1..], &mut high_axes[1..]));
    if middle > CHUNK {
        rayon::join(sides.0, sides.1);
    } else {
        (sides.0)();
        (sides.1)();
    }
}

/// The axis along which points differ most; `None` where they are all equal.
fn widest<const D: usize>(points: &[[f32; D]], order: &[u32]) -> Option<usize> {
    let (mut low, mut high) = ([f32::INFINITY; D], [f32::NEG_INFINITY; D]);
    for &own in order {
        for (axis, &value) in points[own as usize].iter().enumerate() {
            low[axis] = low[axis].min(value);
            high[axis] = high[axis].max(value);
        }
    }
    let axis = (0..D).max_by(|&a, &b| (high[a] - low[a]).total_cmp(&(high[b] - low[b])))?;
    (high[axis] > low[axis]).then_some(axis)
}

/// Hands over every point that may be within the radius, until `look` has seen enough. Returns whether it wants more.
fn visit<const D: usize>(
    points: &[[f32; D]],
    order: &[u32],
    axes: &[u8],
    point: &[f32; D],
    radius: f32,
    look: &mut impl FnMut(u32) -> bool,
) -> bool {
    let middle = order.len() / 2;
    if order.is_empty() || axes[middle] == WHOLE {
        return order.iter().all(|&other| look(other));
    }
    let axis = usize::from(axes[middle]);
    let gap = point[axis] - points[order[middle] as usize][axis];
    look(order[middle])
        && (gap > radius || visit(points, &order[..middle], &axes[..middle], point, radius, look))
        && (gap < -radius || visit(points, &order[middle + 1..], &axes[middle + 1..], point, radius, look))
}

/// Which of so many things belong together.
pub(super) struct Groups(Vec<u32>);

impl Groups {
    /// Those that pairs link.
    pub(super) fn of(count: usize, pairs: impl Iterator<Item = [u32; 2]>) -> Self {
        let mut groups = Self((0..count as u32).collect());
        for [a, b] in pairs {
            let (a, b) = (groups.first(a), groups.first(b));
            groups.0[a.max(b) as usize] = a.min(b);
        }
        groups
    }

    /// The first of the things that belong with this one.
    pub(super) fn first(&mut self, mut own: u32) -> u32 {
        while self.0[own as usize] != own {
            let next = self.0[own as usize];
            self.0[own as usize] = self.0[next as usize];
            own = next;
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whoever_has_a_partner_is_found(
            points in prop::collection::vec([0u8..12, 0u8..12, 0u8..3], 0..300), radius in 0.0f32..2.5,
        ) {
            let points: Vec<[f32; 3]> = points.into_iter().map(|own| own.map(f32::from)).collect();
            let found = pairs(&points, radius);
            let mut has = vec![false; points.len()];
            for Pair { points: [a, b], distance } in found {
                let (a, b) = (a as usize, b as usize);
                prop_assert!(a < b && distance <= radius);
                prop_assert!((square(&points[a], &points[b]).sqrt() - distance).abs() < 1e-6);
                (has[a], has[b]) = (true, true);
            }
            for (own, has) in has.into_iter().enumerate() {
                let others = (0..points.len()).filter(|&other| other != own);
                let nearest = others.map(|other| square(&points[own], &points[other])).fold(f32::INFINITY, f32::min);
                prop_assert_eq!(has, nearest <= radius * radius);
            }
        }
    }

    #[test]
    fn a_hundred_thousand_copies_are_linked_in_no_time() {
        let points = vec![[0.5f32; 8]; 100_000];
        let found = pairs(&points, 0.1);
        assert!(found.len() >= points.len() - 1 && found.len() <= PARTNERS * points.len());
    }
}
