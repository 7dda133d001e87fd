//! How many digits after the point an amount has, by its currency.
//!
//! Source: ISO 4217, list one; every currency that is not named here has two.

/// Digits of a currency that is not known.
const USUAL: u32 = 2;

/// The most digits of any currency; amounts are read with these until the currency is known.
pub(crate) const MOST: u32 = 4;

const NONE: [&str; 17] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
    "VUV", "XAF", "XOF", "XPF",
];
const THREE: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
const FOUR: [&str; 2] = ["CLF", "UYW"];

/// Digits after the point of an amount in `currency`; two if there is none.
pub(crate) fn minor_digits(currency: Option<&str>) -> u32 {
    let Some(code) = currency.map(str::trim) else { return USUAL };
    let among = |codes: &[&str]| codes.iter().any(|known| known.eq_ignore_ascii_case(code));
    match code {
        _ if among(&NONE) => 0,
        _ if among(&THREE) => 3,
        _ if among(&FOUR) => MOST,
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests {
    use super::minor_digits;

    #[test]
    fn an_amount_has_the_digits_of_its_currency() {
        let table = [
            (Some("EUR"), 2, "most"),
            (Some("JPY"), 0, "no cents"),
            (Some(" bhd "), 3, "fils, as someone typed it"),
            (Some("UYW"), 4, "the most there are"),
            (Some("XYZ"), 2, "not known"),
            (None, 2, "none"),
        ];
        for (currency, digits, why) in table {
            assert_eq!(minor_digits(currency), digits, "{why}");
        }
    }
}
