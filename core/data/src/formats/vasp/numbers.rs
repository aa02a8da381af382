//! Numbers as Fortran prints them: in columns of a fixed width, without a space between two that fill their columns.

use std::array;

/// The `N` numbers in a text.
///
/// # Errors
/// A sentence about a word that is no number, or about how many there are.
pub(super) fn numbers<const N: usize>(text: &str) -> Result<[f64; N], String> {
    let mut numbers = text.split_whitespace().flat_map(apart);
    let mut count = 0;
    let found: [Option<f64>; N] = array::from_fn(|_| {
        let number = numbers.next()?.parse().ok();
        count += usize::from(number.is_some());
        number
    });
    if numbers.next().is_none() && count == N {
        return Ok(found.map(Option::unwrap_or_default));
    }
    let shown: String = text.trim().chars().take(100).collect();
    let stars = if shown.contains('*') { ", where VASP had no room for one: leave out this ionic step" } else { "" };
    let plural = if N == 1 { "" } else { "s" };
    Err(format!("expected {N} number{plural}, found `{shown}`{stars}"))
}

/// The numbers that a word consists of: all have as many digits after the point as the last of them.
fn apart(mut word: &str) -> impl Iterator<Item = &str> {
    let alone = word.parse::<f64>().is_ok();
    let decimals = word.rfind('.').map_or(0, |point| word.len() - point - 1);
    std::iter::from_fn(move || {
        let end = match word.find('.') {
            Some(point) if !alone => {
                let digits = word[point + 1..].bytes().take(decimals).take_while(u8::is_ascii_digit);
                point + 1 + digits.count()
            }
            _ => word.len(),
        };
        let (number, rest) = word.split_at(end);
        word = rest;
        (!number.is_empty()).then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_space_between_them_are_told_apart() {
        assert_eq!(numbers::<3>("  1.5 -2  3e-1\n").unwrap(), [1.5, -2.0, 0.3]);
        assert_eq!(numbers::<3>("0.000000000100.250000000-12.000000000").unwrap(), [0.0, 100.25, -12.0]);
        assert_eq!(numbers::<2>("-1234.56789-2345.67890").unwrap(), [-1234.56789, -2345.6789]);
        assert_eq!(numbers::<4>("1.00-10.00 -3.500-12.250").unwrap(), [1.0, -10.0, -3.5, -12.25]);
    }

    #[test]
    fn what_is_no_number_is_shown() {
        for (text, expected) in [
            ("1 2", "expected 3 numbers, found `1 2`"),
            ("1 2 3 4", "expected 3 numbers, found `1 2 3 4`"),
            ("1 2 x", "found `1 2 x`"),
            ("1.0 ******** 3.0", "no room for one"),
            ("1.2.3.4.é 1 2", "found"),
            (".", "found `.`"),
        ] {
            assert!(numbers::<3>(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
