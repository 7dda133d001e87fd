//! Secrets at rest: encrypted, and bound to what they are for.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SystemRandom, generate};

/// First byte of everything sealed: the layout.
const LAYOUT: u8 = 1;

/// Bytes of the key's id.
const KEY_ID: usize = 4;

/// Bytes before the encrypted part: layout, key id, nonce.
const HEADER: usize = 1 + KEY_ID + NONCE_LEN;

/// Seals and opens small secrets with one key: ChaCha20-Poly1305, a fresh random nonce each time.
///
/// Layout: a byte that is 1, the key's id (4 bytes), the nonce (12), the encrypted bytes, the tag
/// (16). The header is authenticated together with the caller's associated data.
pub struct Sealer {
    key: LessSafeKey,
    key_id: [u8; KEY_ID],
}

/// Why something could not be sealed or opened. Never says what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The system gave no randomness, or the text is too long for the cipher.
    #[error("the secret could not be sealed")]
    CannotSeal,
    /// The bytes were not made by a sealer.
    #[error("this is not a sealed secret")]
    NotSealed,
    /// Sealed with another key.
    #[error("the secret was sealed with another key; give the key it was sealed with")]
    OtherKey,
    /// Altered, or sealed for another purpose.
    #[error("the sealed secret was altered, or is meant for something else")]
    Altered,
}

impl Sealer {
    /// A sealer for a key of 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`SealError::CannotSeal`] never happens with a key of this length.
    pub fn new(key: &[u8; 32]) -> Result<Self, SealError> {
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, key);
        let unbound = unbound.map_err(|_| SealError::CannotSeal)?;
        let mut named = b"cosell-sync key id".to_vec();
        named.extend_from_slice(key);
        let name = digest(&SHA256, &named);
        let key_id = name.as_ref().first_chunk().copied().unwrap_or_default();
        Ok(Self { key: LessSafeKey::new(unbound), key_id })
    }

    /// Seals `plain` for what `associated` names: tenant and purpose, as text.
    ///
    /// # Errors
    ///
    /// [`SealError::CannotSeal`] if the system gives no randomness.
    pub fn seal(&self, plain: &[u8], associated: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce = generate::<[u8; NONCE_LEN]>(&SystemRandom::new());
        let nonce = nonce.map_err(|_| SealError::CannotSeal)?.expose();
        let mut sealed = vec![LAYOUT];
        sealed.extend_from_slice(&self.key_id);
        sealed.extend_from_slice(&nonce);
        let bound = Aad::from([sealed.as_slice(), associated].concat());
        let mut body = plain.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut body)
            .map_err(|_| SealError::CannotSeal)?;
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what [`Sealer::seal`] made with the same key and the same `associated`.
    ///
    /// # Errors
    ///
    /// One of the other [`SealError`]s, each with its own next step.
    pub fn open(&self, sealed: &[u8], associated: &[u8]) -> Result<Vec<u8>, SealError> {
        let (header, body) = sealed.split_at_checked(HEADER).ok_or(SealError::NotSealed)?;
        let (layout, rest) = header.split_first().ok_or(SealError::NotSealed)?;
        let (key_id, nonce) = rest.split_at(KEY_ID);
        if *layout != LAYOUT {
            return Err(SealError::NotSealed);
        }
        if key_id != self.key_id {
            return Err(SealError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::NotSealed)?;
        let bound = Aad::from([header, associated].concat());
        let mut body = body.to_vec();
        let plain = self.key.open_in_place(nonce, bound, &mut body);
        Ok(plain.map_err(|_| SealError::Altered)?.to_vec())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sealer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER, SealError, Sealer};

    const PURPOSE: &[u8] = b"contoso/partner_center/refresh_token";

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&[byte; 32]).expect("32 bytes")
    }

    #[test]
    fn a_secret_opens_only_as_it_was_sealed() {
        let sealed = sealer(1).seal(b"a secret", PURPOSE).expect("sealed");
        assert_eq!(sealer(1).open(&sealed, PURPOSE).as_deref(), Ok(b"a secret".as_slice()));
        let other = b"fabrikam/partner_center/refresh_token";
        assert_eq!(sealer(1).open(&sealed, other), Err(SealError::Altered), "another tenant");
        assert_eq!(sealer(2).open(&sealed, PURPOSE), Err(SealError::OtherKey));
        assert_eq!(sealer(1).open(&sealed[..HEADER - 1], PURPOSE), Err(SealError::NotSealed));
        assert_eq!(sealer(1).open(b"", PURPOSE), Err(SealError::NotSealed));
    }

    #[test]
    fn no_byte_can_be_changed() {
        let sealed = sealer(1).seal(b"a secret", PURPOSE).expect("sealed");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(sealer(1).open(&altered, PURPOSE).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_same_secret_never_looks_the_same() {
        let twice = [(); 2].map(|()| sealer(1).seal(b"a secret", PURPOSE).expect("sealed"));
        assert_ne!(twice[0], twice[1]);
        assert!(!twice[0].windows(8).any(|window| window == b"a secret"));
    }
}
