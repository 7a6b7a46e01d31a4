//! Sizes as people write them: `1024`, `24GiB`.

/// A size in bytes: a number, or one with KiB, MiB, GiB, TiB (KB, MB, GB, TB are powers of 1000).
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "tib" | "t" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("{unit:?} is no unit: write a number and KiB, MiB, GiB or TiB")),
    };
    let number: f64 = number.parse().map_err(|_| "write a number and KiB, MiB, GiB or TiB".to_owned())?;
    let bytes = number * factor as f64;
    if bytes >= 1.0 && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err("out of range".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse("1024"), Ok(1024));
        assert_eq!(parse("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse("2GB"), Ok(2_000_000_000));
        for bad in ["", "GiB", "-1", "0", "1 parsec", "9e99"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
