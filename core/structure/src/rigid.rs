//! What a rigid body would do under forces: their net force and torque, and forces without them.

use nalgebra::{Matrix3, Vector3};

/// Takes the net force out of forces on atoms at these positions, the same from each; with `torque` also the net torque about
/// their centre, by the rotation that changes the forces least: `f_i - w x (x_i - c)`.
///
/// Positions are in angstrom and in one piece; where atoms lie on a line, no torque about it is taken out, as there is none.
///
/// # Panics
/// If there is not one force for each position.
pub fn without_net_force(positions: &[[f64; 3]], forces: &mut [[f64; 3]], torque: bool) {
    assert_eq!(positions.len(), forces.len(), "without_net_force: positions and forces");
    let count = positions.len().max(1) as f64;
    let mean = |rows: &[[f64; 3]]| rows.iter().map(|row| Vector3::from(*row)).sum::<Vector3<f64>>() / count;
    let net = mean(forces);
    forces.iter_mut().for_each(|force| *force = (Vector3::from(*force) - net).into());
    if !torque {
        return;
    }
    let centre = mean(positions);
    let arms: Vec<Vector3<f64>> = positions.iter().map(|position| Vector3::from(*position) - centre).collect();
    let pairs = arms.iter().zip(forces.iter());
    let turning: Vector3<f64> = pairs.map(|(arm, force)| arm.cross(&Vector3::from(*force))).sum();
    let inertia: Matrix3<f64> =
        arms.iter().map(|arm| Matrix3::identity() * arm.norm_squared() - arm * arm.transpose()).sum();
    // Of atoms on a line one moment of inertia is zero, and the inverse leaves that axis alone.
    let smallest = 1e-9 * inertia.trace().max(f64::MIN_POSITIVE);
    let Ok(inverse) = inertia.pseudo_inverse(smallest) else { return };
    let spin = inverse * turning;
    for (force, arm) in forces.iter_mut().zip(&arms) {
        *force = (Vector3::from(*force) - spin.cross(arm)).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn net(positions: &[[f64; 3]], forces: &[[f64; 3]]) -> (Vector3<f64>, Vector3<f64>) {
        let rows = positions.iter().zip(forces);
        let turning = rows.map(|(x, f)| Vector3::from(*x).cross(&Vector3::from(*f))).sum();
        (forces.iter().map(|force| Vector3::from(*force)).sum(), turning)
    }

    #[test]
    fn what_a_body_would_do_is_gone_and_the_rest_stays() {
        let positions = [[0.0, 0.1, 0.0], [1.0, 0.2, 0.0], [0.3, 1.1, 0.4], [-0.2, 0.5, 1.3]];
        let mut forces = [[0.3, -0.2, 0.9], [0.1, 0.4, -0.3], [-0.7, 0.2, 0.2], [0.5, -0.6, 0.1]];
        without_net_force(&positions, &mut forces, true);
        let (force, torque) = net(&positions, &forces);
        assert_abs_diff_eq!(force, Vector3::zeros(), epsilon = 1e-12);
        assert_abs_diff_eq!(torque, Vector3::zeros(), epsilon = 1e-12);
        let before = forces;
        without_net_force(&positions, &mut forces, true);
        for (a, b) in before.as_flattened().iter().zip(forces.as_flattened()) {
            assert_abs_diff_eq!(*a, *b, epsilon = 1e-12);
        }
    }

    #[test]
    fn atoms_on_a_line_and_single_ones_are_no_trouble() {
        let positions = [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 3.0]];
        let mut forces = [[0.3, 0.1, 0.5], [0.0, 0.4, -0.3], [-0.7, 0.2, 0.2]];
        without_net_force(&positions, &mut forces, true);
        let (force, torque) = net(&positions, &forces);
        assert_abs_diff_eq!(force, Vector3::zeros(), epsilon = 1e-12);
        assert_abs_diff_eq!(torque, Vector3::zeros(), epsilon = 1e-12);
        let mut single = [[1.0, 2.0, 3.0]];
        without_net_force(&[[5.0, 5.0, 5.0]], &mut single, true);
        assert_eq!(single, [[0.0; 3]]);
    }
}
