//! Suite 1: what turns a data key, a place and a value into a sealed value (pure but for the salt).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

use crate::context::DOMAIN;
use crate::envelope::{Header, Parsed, SUITE, TAG_LEN, VERSION};
use crate::{Class, DataKey, DataKeyId, Error, Sealed, WrappedKey};

/// The longest value that is sealed in one piece: 64 MiB.
///
/// Ours, so that a value fits into memory twice. AES-GCM itself ends at 2^39 - 256 bits
/// (NIST SP 800-38D, section 5.2.1.1).
pub const MAX_PLAINTEXT: usize = 64 * 1024 * 1024;

/// One message's own key, and the commitment to it and to its place.
struct MessageKey {
    cipher: LessSafeKey,
    commitment: [u8; 32],
}

/// Derives the key of one message: `HKDF(data key, domain ‖ version ‖ suite ‖ salt ‖ SHA-256(place))`.
///
/// The salt is 32 random bytes, so every message has its own key and GCM's limit of 2^32 random nonces
/// under one key (NIST SP 800-38D, section 8.3) is never near. Key and commitment are successive blocks
/// of the same expansion (RFC 5869, section 2.3): two pairs of key and place with one commitment are a
/// collision of SHA-256.
fn derive(key: &DataKey, salt: &[u8; 32], place: &[u8]) -> Result<MessageKey, Error> {
    let place = digest::digest(&digest::SHA256, place);
    let info = [DOMAIN, &[VERSION, SUITE], salt, place.as_ref()];
    let prk = Salt::new(HKDF_SHA256, DOMAIN).extract(key.expose());
    let mut okm = Zeroizing::new([0; 64]);
    prk.expand(&info, SixtyFourBytes)?.fill(&mut okm[..])?;
    let (cipher, commitment) = okm.split_first_chunk::<32>().ok_or(Error::Cryptography)?;
    Ok(MessageKey {
        cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cipher)?),
        commitment: commitment.try_into().map_err(|_| Error::Cryptography)?,
    })
}

struct SixtyFourBytes;

impl KeyType for SixtyFourBytes {
    fn len(&self) -> usize {
        64
    }
}

/// The nonce of every message: constant, since the key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Which data key seals.
pub(crate) struct Sealer<'a> {
    pub(crate) class: Class,
    pub(crate) id: DataKeyId,
    pub(crate) key: &'a DataKey,
    pub(crate) wrapped: &'a WrappedKey,
}

impl Sealer<'_> {
    /// Seals `plaintext` for the place that `place` writes.
    pub(crate) fn seal(&self, place: &[u8], plaintext: &[u8]) -> Result<Sealed, Error> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(Error::TooLarge);
        }
        let mut salt = [0; 32];
        rand::fill(&mut salt)?;
        let message = derive(self.key, &salt, place)?;
        let header = Header {
            class: self.class,
            data_key: self.id,
            salt,
            commitment: message.commitment,
            wrapped: self.wrapped.clone(),
        }
        .write()?;
        let mut body = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_LEN));
        body.extend_from_slice(plaintext);
        let aad = Aad::from([&header, place].concat());
        message.cipher.seal_in_place_append_tag(nonce(), aad, &mut *body)?;
        Ok(Sealed::join(header, &body))
    }
}

/// Opens a value with its data key at the place that `place` writes.
///
/// The commitment is compared first, in constant time, so that a key or place that is not the one
/// sealed with never reaches the cipher. Nothing is given out before the tag holds.
pub(crate) fn open(
    parsed: &Parsed<'_>,
    key: &DataKey,
    place: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let Parsed { header, header_bytes, body } = parsed;
    let message = derive(key, &header.salt, place)?;
    verify_slices_are_equal(&message.commitment, &header.commitment)
        .map_err(|_| Error::DoesNotOpen)?;
    let mut scratch = Zeroizing::new(body.to_vec());
    let aad = Aad::from([*header_bytes, place].concat());
    let len = message
        .cipher
        .open_in_place(nonce(), aad, &mut scratch)
        .map_err(|_| Error::DoesNotOpen)?
        .len();
    scratch.truncate(len);
    Ok(scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(place: &[u8]) -> (DataKey, Sealed) {
        let key = DataKey::new([5; 32]);
        let wrapped = WrappedKey::new(b"wrapped");
        let id = DataKeyId::random().unwrap();
        let sealer = Sealer { class: Class::StagingData, id, key: &key, wrapped: &wrapped };
        let sealed = sealer.seal(place, b"hunter2").unwrap();
        (key, sealed)
    }

    fn try_open(bytes: &[u8], key: &DataKey, place: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        open(&Header::read(bytes)?, key, place)
    }

    #[test]
    fn opens_with_its_key_at_its_place_only() {
        let (key, sealed) = sealed(b"place");
        assert_eq!(*try_open(sealed.as_bytes(), &key, b"place").unwrap(), b"hunter2");
        assert!(try_open(sealed.as_bytes(), &key, b"elsewhere").is_err());
        let other = DataKey::new([6; 32]);
        assert!(try_open(sealed.as_bytes(), &other, b"place").is_err());
    }

    #[test]
    fn no_two_messages_look_alike() {
        assert_ne!(sealed(b"place").1, sealed(b"place").1);
    }

    #[test]
    fn every_single_bit_counts() {
        let (key, sealed) = sealed(b"place");
        for bit in 0..sealed.as_bytes().len() * 8 {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(try_open(&bytes, &key, b"place").is_err(), "bit {bit} does not count");
        }
    }

    #[test]
    fn the_commitment_is_checked_before_the_tag() {
        let (key, sealed) = sealed(b"place");
        let mut parsed = Header::read(sealed.as_bytes()).unwrap();
        parsed.header.commitment = [0; 32];
        // The tag still covers the true header bytes: only the comparison can refuse.
        assert!(matches!(open(&parsed, &key, b"place"), Err(Error::DoesNotOpen)));
    }
}
