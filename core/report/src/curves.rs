//! What curves of a run's log are made of.

use isograd_train::run::LogLine;

/// Losses over something that lines have, without those that are means of far fewer steps than others: a line at the end of
/// an epoch may be of a single one.
pub(super) fn losses(lines: &[LogLine], over: impl Fn(&LogLine) -> f64) -> Vec<(f64, f64)> {
    let before = std::iter::once(0).chain(lines.iter().map(|line| line.step));
    let steps: Vec<usize> = lines.iter().zip(before).map(|(line, before)| line.step.saturating_sub(before)).collect();
    let most = steps.iter().copied().max().unwrap_or(0);
    lines.iter().zip(steps).filter(|(_, steps)| 2 * steps >= most).map(|(line, _)| (over(line), line.loss)).collect()
}

/// No more than some thousand points: means of neighbours where there are more.
pub(super) fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const MOST: usize = 1000;
    let mean = |some: &[(f64, f64)]| {
        let sum = some.iter().fold((0.0, 0.0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
        (sum.0 / some.len() as f64, sum.1 / some.len() as f64)
    };
    points.chunks(points.len().div_ceil(MOST).max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_few_steps_are_left_out() {
        let line = |step: usize| LogLine {
            step,
            epoch: step as f64,
            seconds: 0.0,
            loss: 2.0 * step as f64,
            learning_rate: 0.0,
            gradient_norm: 0.0,
            edges_per_second: 0.0,
            atoms_per_second: 0.0,
            peak_bytes: None,
            validation: None,
            validation_by_source: Default::default(),
            validation_raw: None,
        };
        // Validations after 100 and 101 steps.
        let found = losses(&[50, 100, 100, 101, 150].map(line), |line| line.epoch);
        assert_eq!(found, [(50.0, 100.0), (100.0, 200.0), (150.0, 300.0)]);
        assert!(losses(&[], |line| line.epoch).is_empty());
    }

    #[test]
    fn many_points_become_means_of_neighbours() {
        let points: Vec<(f64, f64)> = (0..2000).map(|k| (f64::from(k), 1.0 + f64::from(k % 2))).collect();
        let found = thinned(&points);
        assert_eq!((found.len(), found[1]), (1000, (2.5, 1.5)));
        assert_eq!(thinned(&points[..3]), points[..3]);
        assert!(thinned(&[]).is_empty());
    }
}
