//! A potential from structures in memory, and what it says of one it has not seen. No files are written.
//!
//!     cargo run --release --example train_and_predict
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use isograd::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Clusters of five argon atoms, with energies (eV) and forces (eV/angstrom) of a Lennard-Jones potential whose depth is
/// 0.0104 eV and whose radius is 3.4 angstrom.
fn my_database() -> Vec<Structure> {
    let mut random = StdRng::seed_from_u64(0);
    let corners = [[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [2, 1, 1]];
    let mut cluster = || {
        let positions: Vec<[f64; 3]> =
            corners.map(|corner| corner.map(|x| 2.7 * f64::from(x) + random.random_range(-0.2..0.2))).to_vec();
        let (mut energy, mut forces) = (0.0, vec![[0.0; 3]; positions.len()]);
        for (i, a) in positions.iter().enumerate() {
            for b in positions.iter().filter(|b| *b != a) {
                let d: [f64; 3] = std::array::from_fn(|k| b[k] - a[k]);
                let square: f64 = d.iter().map(|x| x * x).sum();
                let sixth = (3.4f64.powi(2) / square).powi(3);
                energy += 2.0 * 0.0104 * (sixth * sixth - sixth);
                (0..3).for_each(|k| forces[i][k] -= 24.0 * 0.0104 * (2.0 * sixth * sixth - sixth) * d[k] / square);
            }
        }
        let elements = Element::from_number(18).into_iter().cycle().take(positions.len()).collect();
        let geometry = Geometry { positions, ..Geometry::default() };
        Structure { geometry, elements, energy: Some(energy), forces: Some(forces), ..Structure::default() }
    };
    (0..200).map(|_| cluster()).collect()
}

fn main() -> isograd::Result<()> {
    let data = Data::from(my_database()).split(Split::by_frame(0.1).seed(0))?;

    let model = Egnn { width: 32, layers: 2, cutoff: 7.0, ..Egnn::default() };
    let fitted = Trainer::new(model, PotentialTask::default())
        .epochs(30)
        .device("cpu".parse()?)
        .config(|config| (config.train.batch_graphs, config.train.ema_decay) = (8, 0.98))
        .config(|config| config.train.learning_rate = 4e-3)
        .fit(&data)?;
    println!("best: {}", fitted.best().validation);

    let potential = fitted.potential();
    let unseen = &data.validation()[..1];
    let answer = potential.predict(unseen)?;
    println!("predicted {:.4} eV, in truth {:.4} eV", answer[0].energy, unseen[0].energy.unwrap_or(f64::NAN));

    // One structure at a time, as in a simulation of your own.
    let mut calculator = potential.calculator();
    assert_eq!(calculator.evaluate(&unseen[0])?, &answer[0]);
    Ok(())
}

#[test]
fn runs() -> isograd::Result<()> {
    main()
}
