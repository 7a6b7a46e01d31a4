//! Numbers as Kubernetes writes them.

/// The value of a quantity (`16Gi`, `128974848`, `129e6`, `3920m`) in thousandths, rounded down; `None` where it is none.
/// More than 128 bits hold is as much as they do.
pub(super) fn thousandths(text: &str) -> Option<u128> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    // Nine digits after the point are what a quantity may have.
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let billionths = whole.saturating_mul(1_000_000_000).saturating_add(fraction.parse().ok()?);
    let decimal = |power: u32| 10_u128.saturating_pow(power);
    let scaled = match unit {
        "n" => billionths / decimal(9),
        "u" => billionths / decimal(6),
        "m" => billionths / decimal(3),
        "" => billionths,
        "k" => billionths.saturating_mul(decimal(3)),
        "M" => billionths.saturating_mul(decimal(6)),
        "G" => billionths.saturating_mul(decimal(9)),
        "T" => billionths.saturating_mul(decimal(12)),
        "P" => billionths.saturating_mul(decimal(15)),
        "E" => billionths.saturating_mul(decimal(18)),
        "Ki" => billionths.saturating_mul(1 << 10),
        "Mi" => billionths.saturating_mul(1 << 20),
        "Gi" => billionths.saturating_mul(1 << 30),
        "Ti" => billionths.saturating_mul(1 << 40),
        "Pi" => billionths.saturating_mul(1 << 50),
        "Ei" => billionths.saturating_mul(1 << 60),
        exponent => match exponent.strip_prefix(['e', 'E'])?.parse::<i32>().ok()? {
            power @ 0.. => billionths.saturating_mul(decimal(power.unsigned_abs())),
            power => billionths.checked_div(decimal(power.unsigned_abs())).unwrap_or(0),
        },
    };
    Some(scaled / 1_000_000)
}

/// A quantity in whole units, rounded down; `None` where it is none. More than 64 bits hold is as much as they do.
pub(crate) fn units(text: &str) -> Option<u64> {
    thousandths(text).map(|thousandths| u64::try_from(thousandths / 1000).unwrap_or(u64::MAX))
}

/// The same; 0 where there is none that can be read.
pub(super) fn whole(text: Option<&str>) -> u64 {
    text.and_then(units).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_in_all_their_spellings() {
        let told = [
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("123Mi", 123 << 20),
            ("1.5Gi", 3 << 29),
            ("32858876Ki", 32_858_876 << 10),
            ("128974848000m", 128_974_848),
            ("3920m", 3),
            ("5e-1", 0),
            ("2E", 2_000_000_000_000_000_000),
            (".5k", 500),
            ("16Ei", u64::MAX),
            ("9e99", u64::MAX),
        ];
        for (text, value) in told {
            assert_eq!(whole(Some(text)), value, "{text}");
        }
        assert_eq!(thousandths("250m"), Some(250));
    }

    #[test]
    fn what_is_no_quantity_is_nothing() {
        for text in ["", ".", "Gi", "1.2.3", "-1", "12 Gi", "1Zi", "1e", "0x10"] {
            assert_eq!((thousandths(text), units(text)), (None, None), "{text:?}");
        }
        assert_eq!(whole(None), 0);
    }
}
