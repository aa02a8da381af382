//! Counts and bytes as people read them.

/// A count with thin groups of three digits.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Bytes with a binary unit.
pub(super) fn bytes(count: u64) -> String {
    let mib = count as f64 / (1u64 << 20) as f64;
    if mib < 10.0 {
        format!("{mib:.2}\u{a0}MiB")
    } else if mib < 1024.0 {
        format!("{mib:.0}\u{a0}MiB")
    } else {
        format!("{:.2}\u{a0}GiB", mib / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_bytes_read_well() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
        assert_eq!(bytes(3 << 19), "1.50\u{a0}MiB");
        assert_eq!(bytes(12 << 20), "12\u{a0}MiB");
        assert_eq!(bytes(5 << 29), "2.50\u{a0}GiB");
    }
}
