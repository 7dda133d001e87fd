//! Record ids: 15 case-sensitive characters, or 18 with a checksum over the case.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// Makes ids in rising order. The characters follow ASCII order, so key-set paging by id works.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    next: u64,
}

impl Ids {
    /// Starts high enough that ids differ in letters of both cases, as real ones do, and apart
    /// from those of another `instance`.
    pub(crate) fn new(instance: u32) -> Self {
        let start = 62_u64.pow(4) * 17 + 62_u64.pow(2) * 45 + 9;
        Self { next: start + 62_u64.pow(5) * u64::from(instance) }
    }

    /// The next id with this three-character key prefix, in 18 characters.
    pub(crate) fn make(&mut self, prefix: &str) -> String {
        let mut rest = self.next;
        self.next += 1;
        let mut digits = [b'0'; 10];
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[usize::try_from(rest % 62).unwrap_or(0)];
            rest /= 62;
        }
        let tail: String = digits.iter().map(|digit| char::from(*digit)).collect();
        lengthen(&format!("{prefix}5g{tail}"))
    }
}

/// Adds the three checksum characters to a 15-character id.
pub(crate) fn lengthen(short: &str) -> String {
    let mut long = short.to_owned();
    for group in short.as_bytes().chunks(5) {
        let bits = group
            .iter()
            .enumerate()
            .filter(|(_, character)| character.is_ascii_uppercase())
            .fold(0_usize, |bits, (at, _)| bits | (1 << at));
        long.push(char::from(CHECKSUM[bits]));
    }
    long
}

/// The 18-character form of an id in either form; `None` if it is malformed or the checksum is
/// wrong.
pub(crate) fn normal(text: &str) -> Option<String> {
    if !text.bytes().all(|character| character.is_ascii_alphanumeric()) {
        return None;
    }
    match text.len() {
        15 => Some(lengthen(text)),
        18 => Some(lengthen(text.get(..15)?)).filter(|long| long == text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ids, lengthen, normal};

    #[test]
    fn the_checksum_is_the_published_one() {
        let table = [
            ("00D000000000062", "00D000000000062EAA", "an organisation id printed in guides"),
            ("001A000000000aB", "001A000000000aBIAQ", "capitals at places 4 and 15"),
        ];
        for (short, long, why) in table {
            assert_eq!(lengthen(short), long, "{why}");
            assert_eq!(normal(short).as_deref(), Some(long), "{why}");
        }
        assert_eq!(normal("00D000000000062EAB"), None, "a wrong checksum is no id");
        assert_eq!(normal("00D00"), None, "too short");
        assert_eq!(normal("00D0000000'0062"), None, "a character that no id holds");
    }

    #[test]
    fn ids_rise() {
        let mut ids = Ids::new(0);
        let made: Vec<_> = (0..200).map(|_| ids.make("006")).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(made.iter().all(|id| id.len() == 18 && id.starts_with("006")));
    }
}
