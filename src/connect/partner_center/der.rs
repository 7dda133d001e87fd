//! Reads the few parts of a certificate that the chain check does not show.
//!
//! Only called on a certificate whose chain was verified, or to refuse it; never trusts a length.

use crate::domain::time::Timestamp;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// 2.5.4.3, common name.
pub(super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.4.10, organization.
pub(super) const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// 1.2.840.113549.1.1.1, an RSA key.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// A cursor over DER elements.
#[derive(Debug, Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element as tag and content; `None` at the end or where the length lies.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 3 || rest.len() < count {
                return None;
            }
            let (bytes, rest) = rest.split_at(count);
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        if rest.len() < length {
            return None;
        }
        let (content, rest) = rest.split_at(length);
        self.0 = rest;
        Some((tag, content))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// The values of one attribute (`COMMON_NAME`, `ORGANIZATION`) of a distinguished name, given
/// without its outer header.
pub(super) fn attributes(name: &[u8], wanted: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    let mut sets = Reader(name);
    while let Some(set) = sets.take(SET) {
        let mut pairs = Reader(set);
        while let Some(pair) = pairs.take(SEQUENCE) {
            let mut pair = Reader(pair);
            if pair.take(OBJECT_ID) == Some(wanted)
                && let Some((_, value)) = pair.next()
                && let Ok(text) = std::str::from_utf8(value)
            {
                values.push(text.to_owned());
            }
        }
    }
    values
}

/// The moment after which a certificate is no longer valid.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let body = Reader(certificate).take(SEQUENCE)?;
    let mut parts = Reader(Reader(body).take(SEQUENCE)?);
    // Version (tagged), serial number, algorithm, issuer, then the validity.
    let mut first = parts.next()?;
    if first.0 == 0xa0 {
        first = parts.next()?;
    }
    if first.0 != INTEGER {
        return None;
    }
    parts.take(SEQUENCE)?;
    parts.take(SEQUENCE)?;
    let mut validity = Reader(parts.take(SEQUENCE)?);
    validity.next()?;
    let (tag, text) = validity.next()?;
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let (year, rest) = match tag {
        UTC_TIME if text.len() == 13 => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            (format!("{century}{}", text.get(..2)?), text.get(2..)?)
        }
        GENERALIZED_TIME if text.len() == 15 => (text.get(..4)?.to_owned(), text.get(4..)?),
        _ => return None,
    };
    let at = |start: usize| rest.get(start..start + 2);
    let (month, day, hour, minute, second) = (at(0)?, at(2)?, at(4)?, at(6)?, at(8)?);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// Bits of the modulus if `key` (a SubjectPublicKeyInfo) is an RSA key.
pub(super) fn rsa_bits(key: &[u8]) -> Option<usize> {
    let mut parts = Reader(Reader(key).take(SEQUENCE)?);
    let algorithm = parts.take(SEQUENCE)?;
    if Reader(algorithm).take(OBJECT_ID)? != RSA {
        return None;
    }
    let (_unused_bits, key) = parts.take(BIT_STRING)?.split_first()?;
    let modulus = Reader(Reader(key).take(SEQUENCE)?).take(INTEGER)?;
    let start = modulus.iter().position(|byte| *byte != 0)?;
    let digits = modulus.get(start..)?;
    Some(digits.len() * 8 - digits.first()?.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::{ORGANIZATION, attributes, not_after, rsa_bits};

    #[test]
    fn lying_lengths_end_the_walk() {
        let table: [&[u8]; 6] = [
            &[],
            &[0x31],
            &[0x31, 0x7f],
            &[0x31, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x31, 0x80, 0x00],
            &[0x31, 0x83, 0xff, 0xff, 0xff, 0x00],
        ];
        for bytes in table {
            assert!(attributes(bytes, ORGANIZATION).is_empty(), "{bytes:x?}");
            assert_eq!(not_after(bytes), None, "{bytes:x?}");
            assert_eq!(rsa_bits(bytes), None, "{bytes:x?}");
        }
    }
}
