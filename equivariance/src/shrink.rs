//! A failing case made smaller: fewer nodes, a simpler transformation, rounder numbers, as long as
//! it still fails.

use crate::case::Case;
use crate::evaluation::Subject;
use crate::model::Model;
use crate::property::generator;
use crate::question::Question;
use crate::settings::{Settings, tolerance};
use crate::{Rows, System, Transformation, noise};

/// Most candidates that are tried.
const BUDGET: usize = 400;

/// The smallest case found on which an output still fails.
pub(crate) fn smallest<M: Model + ?Sized>(
    subject: &Subject<'_, M>,
    settings: &Settings,
    case: &Case,
    output: usize,
    floor: f64,
) -> Case {
    let mut smallest = case.clone();
    let mut tried = 0;
    loop {
        let next = candidates(&smallest).into_iter().find(|candidate| {
            tried += 1;
            tried <= BUDGET && fails(subject, settings, candidate, output, floor)
        });
        match next {
            Some(case) => smallest = case,
            None => return smallest,
        }
    }
}

fn fails<M: Model + ?Sized>(
    subject: &Subject<'_, M>,
    settings: &Settings,
    case: &Case,
    output: usize,
    floor: f64,
) -> bool {
    let finding = subject.findings(std::slice::from_ref(case)).remove(0);
    let Some(found) = subject.error(output, case, &finding) else { return false };
    let passes = |noise: f64| tolerance(&subject.description, settings, case, noise.max(found.rounding));
    if !found.size.is_finite() {
        return true;
    }
    found.size > passes(floor) && {
        let own = noise::of_cases(subject, &[(case, &finding)], 4, &mut generator(1))[0][output];
        found.size > passes(floor.max(own))
    }
}

/// Simpler versions of a case, the simplest first; none equals the case itself.
fn candidates(case: &Case) -> Vec<Case> {
    let mut candidates = Vec::new();
    for (index, system) in case.systems.iter().enumerate() {
        for kept in fewer(system.len(), least(&case.question)) {
            let mut smaller = case.clone();
            smaller.systems[index] = system.select(&kept);
            match &case.question {
                Question::Transforms(t) => smaller.question = Question::Transforms(t.restricted(&kept)),
                Question::Conservative(u) => smaller.question = Question::Conservative(u.select(&kept)),
                _ => {}
            }
            candidates.push(smaller);
        }
    }
    if case.question == Question::Batch && case.systems.len() > 2 {
        candidates.extend((0..case.systems.len()).map(|index| {
            let mut smaller = case.clone();
            smaller.systems.remove(index);
            smaller
        }));
    }
    if let Question::Transforms(transformation) = &case.question {
        let simpler = simpler(transformation, &case.systems[0]).into_iter();
        candidates.extend(simpler.map(|t| Case { question: Question::Transforms(t), ..case.clone() }));
    }
    if let Question::Strain(strain) = &case.question {
        let simpler = simpler_strains(strain).into_iter();
        candidates.extend(simpler.map(|strain| Case { question: Question::Strain(strain), ..case.clone() }));
    }
    for index in 0..case.systems.len() {
        for system in plainer(&case.systems[index], &case.question) {
            let mut plain = case.clone();
            plain.systems[index] = system;
            candidates.push(plain);
        }
    }
    candidates.retain(|candidate| candidate != case);
    candidates
}

/// How many nodes a question needs.
fn least(question: &Question) -> usize {
    match question {
        Question::CutoffValue | Question::CutoffSlope => 2,
        _ => 1,
    }
}

/// Which nodes to keep: half of them, then all but one.
fn fewer(nodes: usize, least: usize) -> Vec<Vec<usize>> {
    let mut kept = Vec::new();
    let half = nodes.div_ceil(2);
    if half < nodes && half >= least {
        kept.push((0..half).collect());
        if least < 2 {
            kept.push((nodes - half..nodes).collect());
        }
    }
    if nodes > least {
        // The first two nodes are those of a cutoff.
        let first = if least == 2 { 2 } else { 0 };
        kept.extend((first..nodes).map(|gone| (0..nodes).filter(|&node| node != gone).collect()));
    }
    kept
}

fn simpler(transformation: &Transformation, system: &System) -> Vec<Transformation> {
    match transformation {
        Transformation::Orthogonal(matrix) => {
            let size = matrix.rows();
            let determinant = matrix.matrix().determinant();
            let mut simple: Vec<Rows> = Vec::new();
            let signs =
                |flip: usize| Rows::from_fn(size, size, |i, j| f64::from(i == j) * if i == flip { -1.0 } else { 1.0 });
            if determinant < 0.0 {
                simple.extend((0..size).map(signs));
            } else {
                // Quarter and half turns in the planes of two axes.
                for (a, b) in (0..size).flat_map(|b| (0..b).map(move |a| (a, b))) {
                    for (cos, sin) in [(0.0, 1.0), (-1.0, 0.0)] {
                        simple.push(Rows::from_fn(size, size, |i, j| match (i, j) {
                            (i, j) if (i == a || i == b) && i == j => cos,
                            (i, j) if i == a && j == b => -sin,
                            (i, j) if i == b && j == a => sin,
                            (i, j) => f64::from(i == j),
                        }));
                    }
                }
            }
            let known = simple.iter().position(|candidate| candidate == matrix).unwrap_or(simple.len());
            simple.truncate(known);
            simple.into_iter().map(Transformation::Orthogonal).collect()
        }
        Transformation::Translation(step) => {
            let size = step.iter().map(|x| x * x).sum::<f64>().sqrt();
            let axis = |k: usize, size: f64| (0..step.len()).map(|d| if d == k { size } else { 0.0 }).collect();
            let simple: Vec<Vec<f64>> = (0..step.len()).map(|k| axis(k, size.round())).collect();
            let known = simple.iter().position(|candidate| candidate == step).unwrap_or(simple.len());
            simple.into_iter().take(known).map(Transformation::Translation).collect()
        }
        Transformation::Permutation(order) => {
            let swapped = |a: usize, b: usize| {
                let mut swapped: Vec<usize> = (0..order.len()).collect();
                swapped.swap(a, b);
                Transformation::Permutation(swapped)
            };
            let moved = order.iter().enumerate().filter(|(place, node)| place != *node).count();
            if moved <= 2 { Vec::new() } else { (1..order.len()).map(|b| swapped(0, b)).collect() }
        }
        Transformation::Wrapping(wraps) => {
            let total: i32 = wraps.iter().flatten().map(|n| n.abs()).sum();
            if total <= 1 {
                return Vec::new();
            }
            let used = |node: usize, axis: usize| wraps.iter().any(|wrap| wrap[axis] != 0) && node < system.len();
            let places = (0..wraps.len()).flat_map(|node| (0..wraps[0].len()).map(move |axis| (node, axis)));
            let single = |(node, axis): (usize, usize)| {
                let wrap = |n: usize, a: usize| i32::from(n == node && a == axis);
                Transformation::Wrapping(
                    (0..wraps.len()).map(|n| (0..wraps[0].len()).map(|a| wrap(n, a)).collect()).collect(),
                )
            };
            places.filter(|&(node, axis)| used(node, axis)).map(single).collect()
        }
        Transformation::LatticeBasis(basis) => {
            let size = basis.len();
            let off: i32 = basis
                .iter()
                .enumerate()
                .map(|(i, row)| row.iter().enumerate().map(|(j, n)| (n - i32::from(i == j)).abs()).sum::<i32>())
                .sum();
            if off <= 1 {
                return Vec::new();
            }
            let free: Vec<usize> = (0..size).filter(|&axis| system.periodic[axis]).collect();
            let pairs = free.iter().flat_map(|&i| free.iter().map(move |&j| (i, j))).filter(|(i, j)| i != j);
            let shear = |(i, j): (usize, usize)| {
                let entry = |a: usize, b: usize| i32::from(a == b || (a, b) == (i, j));
                Transformation::LatticeBasis((0..size).map(|a| (0..size).map(|b| entry(a, b)).collect()).collect())
            };
            pairs.map(shear).collect()
        }
        Transformation::Supercell(repeats) => {
            if repeats.iter().product::<usize>() <= 2 {
                return Vec::new();
            }
            let doubled = |axis: usize| (0..repeats.len()).map(|k| if k == axis { 2 } else { 1 }).collect();
            let axes = (0..repeats.len()).filter(|&axis| repeats[axis] > 1);
            axes.map(|axis| Transformation::Supercell(doubled(axis))).collect()
        }
    }
}

/// The same swelling everywhere, a stretch of one axis, a shear of two.
fn simpler_strains(strain: &Rows) -> Vec<Rows> {
    let size = strain.rows();
    let swelling = 1.0 / (size as f64).sqrt();
    let mut simple = vec![Rows::from_fn(size, size, |i, j| if i == j { swelling } else { 0.0 })];
    simple.extend((0..size).map(|axis| Rows::from_fn(size, size, |i, j| f64::from(i == axis && j == axis))));
    for (a, b) in (0..size).flat_map(|b| (0..b).map(move |a| (a, b))) {
        let sheared = |i: usize, j: usize| (i, j) == (a, b) || (i, j) == (b, a);
        simple.push(Rows::from_fn(size, size, |i, j| if sheared(i, j) { 0.5f64.sqrt() } else { 0.0 }));
    }
    let known = simple.iter().position(|candidate| candidate == strain).unwrap_or(simple.len());
    simple.truncate(known);
    simple
}

/// The same system with plainer numbers.
fn plainer(system: &System, question: &Question) -> Vec<System> {
    let mut plainer = Vec::new();
    let needs_cell = matches!(
        question,
        Question::Strain(_)
            | Question::Transforms(
                Transformation::Wrapping(_) | Transformation::LatticeBasis(_) | Transformation::Supercell(_)
            )
    );
    if system.cell.is_some() && !needs_cell {
        let periodic = vec![false; system.dimensions()];
        plainer.push(System { cell: None, periodic, ..system.clone() });
    }
    if let Some(first) = system.species.first() {
        plainer.push(System { species: vec![*first; system.len()], ..system.clone() });
    }
    let rounded = |rows: &Rows, digits: f64| {
        Rows::from_fn(rows.rows(), rows.columns(), |i, j| (rows.row(i)[j] * digits).round() / digits)
    };
    for digits in [1.0, 10.0, 100.0] {
        let positions = rounded(&system.positions, digits);
        let cell = system.cell.as_ref().map(|cell| rounded(cell, digits));
        // Rounding must not make another kind of input of it.
        let volume = |cell: &Option<Rows>| cell.as_ref().map_or(1.0, |cell| cell.matrix().determinant().abs());
        if shortest(&positions) >= 0.5 * shortest(&system.positions) && volume(&cell) >= 0.5 * volume(&system.cell) {
            plainer.push(System { positions, cell, ..system.clone() });
        }
        plainer.push(System {
            features: rounded(&system.features, digits),
            vectors: system.vectors.iter().map(|vectors| rounded(vectors, digits)).collect(),
            ..system.clone()
        });
    }
    plainer
}

/// The shortest distance between two positions; infinite for fewer than two.
fn shortest(positions: &Rows) -> f64 {
    let distance = |a: usize, b: usize| {
        let square = positions.row(a).iter().zip(positions.row(b)).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        square.sqrt()
    };
    (0..positions.rows())
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .map(|(a, b)| distance(a, b))
        .fold(f64::INFINITY, f64::min)
}
