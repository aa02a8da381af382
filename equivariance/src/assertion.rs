//! The assertion for tests.

/// Checks a model and panics with the whole report if anything fails.
///
/// ```
/// use isograd_equivariance::{Description, Precision, Settings, assert_equivariant, from_fn};
///
/// let description = Description::new(2, Precision::F64).node_vector("from centroid");
/// let model = from_fn(description, |system| {
///     let centroid = system.centroid();
///     vec![system.positions.iter().flat_map(|row| row.iter().zip(&centroid).map(|(x, c)| x - c)).collect()]
/// });
/// assert_equivariant!(model);
/// assert_equivariant!(model, Settings { cases: 20, seed: 7, ..Settings::default() });
/// ```
#[macro_export]
macro_rules! assert_equivariant {
    ($model:expr $(,)?) => {
        $crate::assert_equivariant!($model, $crate::Settings::default())
    };
    ($model:expr, $settings:expr $(,)?) => {{
        let report = $crate::check(&$model, &$settings);
        assert!(report.passed, "the model is not equivariant\n{report}");
    }};
}
