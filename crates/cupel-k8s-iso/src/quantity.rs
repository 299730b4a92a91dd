use std::fmt;
use std::str::FromStr;

/// The longest quantity text accepted, in bytes; none in use comes near it.
const MAX_LEN: usize = 32;

/// The largest value accepted, in thousandths: the largest that Kubernetes stores (2^63 - 1).
const MAX_MILLIS: i128 = (i64::MAX as i128) * 1000;

/// An amount of CPU, memory or storage as Kubernetes writes it: `500m`, `32`, `128Gi`.
///
/// A positive decimal number with at most one suffix: `m`, `k`, `M`, `G`, `T`, `P`, `E`, or the
/// powers of 1024 `Ki` to `Ei` (kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity).
/// Exponents, signs and amounts below a thousandth are refused: no quota is written so.
///
/// # Examples
///
/// ```
/// use cupel_k8s_iso::Quantity;
///
/// let cpu: Quantity = "1500m".parse()?;
/// assert!(cpu.same_amount_as(&"1.5".parse()?));
/// assert!("lots".parse::<Quantity>().is_err());
/// # Ok::<(), cupel_k8s_iso::InvalidQuantity>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    millis: i128,
}

impl Quantity {
    /// Returns the text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether both are the same amount, however written.
    pub fn same_amount_as(&self, other: &Self) -> bool {
        self.millis == other.millis
    }

    /// Returns the amount in thousandths: of a core, of a byte.
    pub(crate) fn millis(&self) -> i128 {
        self.millis
    }

    /// So many thousandths of a core, and at least one.
    pub(crate) fn cpu(millis: i128) -> Self {
        let millis = millis.max(1);
        let text =
            if millis % 1000 == 0 { (millis / 1000).to_string() } else { format!("{millis}m") };
        Self { text, millis }
    }

    /// So many thousandths of a byte, rounded down to MiB, and at least one MiB.
    pub(crate) fn memory(millis: i128) -> Self {
        let mib = (millis / (1000 << 20)).max(1);
        let text = if mib % 1024 == 0 { format!("{}Gi", mib / 1024) } else { format!("{mib}Mi") };
        Self { text, millis: mib * (1000 << 20) }
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(InvalidQuantity::Syntax);
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at_checked(end).ok_or(InvalidQuantity::Syntax)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
            return Err(InvalidQuantity::Syntax);
        }
        let scale = millis_of(suffix).ok_or(InvalidQuantity::Syntax)?;
        let digits: i128 =
            format!("{whole}{fraction}").parse().map_err(|_| InvalidQuantity::Range)?;
        let divisor = u32::try_from(fraction.len())
            .ok()
            .and_then(|places| 10_i128.checked_pow(places))
            .ok_or(InvalidQuantity::Range)?;
        let scaled = digits.checked_mul(scale).ok_or(InvalidQuantity::Range)?;
        let millis = scaled / divisor;
        if millis == 0 || scaled % divisor != 0 || millis > MAX_MILLIS {
            return Err(InvalidQuantity::Range);
        }
        Ok(Self { text: text.to_owned(), millis })
    }
}

fn millis_of(suffix: &str) -> Option<i128> {
    let units = match suffix {
        "m" => return Some(1),
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "E" => 1_000_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        "Ei" => 1_i128 << 60,
        _ => return None,
    };
    Some(units * 1000)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({})", self.text)
    }
}

/// The text given is not a [`Quantity`]. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidQuantity {
    /// The amount is zero, too large, or finer than a thousandth.
    #[error("invalid quantity: it is zero, too large, or finer than a thousandth")]
    Range,

    /// The text is not a number with a suffix.
    #[error("invalid quantity: write a number and a suffix, as 500m, 32 or 128Gi")]
    Syntax,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<i128, InvalidQuantity>) {
        assert_eq!(text.parse::<Quantity>().map(|q| q.millis()), expected, "parsing {text:?}");
    }

    #[test]
    fn reads_what_kubernetes_reads() {
        check("500m", Ok(500));
        check("0.5", Ok(500));
        check("32", Ok(32_000));
        check("1Ki", Ok(1_024_000));
        check("1.5Gi", Ok(1_610_612_736_000));
        check("1k", Ok(1_000_000));
    }

    #[test]
    fn what_is_computed_reads_back_as_the_same_amount() {
        for quantity in [
            Quantity::cpu(0),
            Quantity::cpu(320),
            Quantity::cpu(64_000),
            Quantity::memory(0),
            Quantity::memory(1000 << 30),
            Quantity::memory(1500 << 20),
        ] {
            check(quantity.as_str(), Ok(quantity.millis()));
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", ".", ".5", "5.", "1.2.3", "-1", "+1", "1e3", "1 Gi", "1GiB", "lots", "١"]
        {
            check(text, Err(InvalidQuantity::Syntax));
        }
        for text in ["0", "0.0001", "0m", "0.5m", "10E", "99999999999999999999999999"] {
            check(text, Err(InvalidQuantity::Range));
        }
    }
}
