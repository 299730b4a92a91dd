//! The keyring's file: how it is unlocked, read and replaced.
//!
//! ```text
//! magic 8 | salt 16 | nonce 12 | AES-256-GCM(keys as JSON) ‖ tag 16      AAD = the first 36 bytes
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::keys::Keys;
use crate::Error;

/// What opens a keyring.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unlock {
    /// A file of 32 random bytes and mode 0600; generated together with a new keyring.
    KeyFile(PathBuf),
    /// A passphrase of at least 8 bytes (NIST SP 800-63B, section 5.1.1.1), made a key by Argon2id
    /// with 64 MiB, 3 passes and 4 lanes (RFC 9106, section 4, second recommendation).
    Passphrase(SecretString),
}

const MAGIC: &[u8; 8] = b"CUPELKR1";
const SALT_LEN: usize = 16;
const HEADER_LEN: usize = MAGIC.len() + SALT_LEN + 12;
const MIN_PASSPHRASE: usize = 8;
/// How long a writer waits for another process' lock.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// A keyring file and the key that opens it.
pub(super) struct KeyringFile {
    path: PathBuf,
    salt: [u8; SALT_LEN],
    cipher: LessSafeKey,
}

impl KeyringFile {
    /// Opens the keyring at `path`, or makes an empty one.
    pub(super) fn open(path: &Path, unlock: &Unlock) -> Result<Self, Error> {
        if let Unlock::Passphrase(passphrase) = unlock
            && passphrase.expose_secret().len() < MIN_PASSPHRASE
        {
            return Err(Error::Passphrase);
        }
        let _lock = lock(path)?;
        let existing = match read_private(path) {
            Ok(bytes) => Some(bytes),
            Err(Error::KeyringIo { source }) if is_absent(&source) => None,
            Err(error) => return Err(error),
        };
        let salt = match &existing {
            Some(bytes) => *split(bytes)?.salt,
            None => {
                let mut salt = [0; SALT_LEN];
                rand::fill(&mut salt)?;
                salt
            }
        };
        let key = unlock_key(unlock, &salt, existing.is_some())?;
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..])?);
        let file = Self { path: path.to_owned(), salt, cipher };
        match existing {
            Some(bytes) => drop(file.decrypt(&bytes)?),
            None => file.replace(&Keys::default())?,
        }
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the keys as they are now: another process may have changed them.
    pub(super) fn read(&self) -> Result<Keys, Error> {
        self.decrypt(&read_private(&self.path)?)
    }

    /// Changes the keys while no other process can.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Keys) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _lock = lock(&self.path)?;
        let mut keys = self.read()?;
        let result = change(&mut keys)?;
        self.replace(&keys)?;
        Ok(result)
    }

    fn decrypt(&self, bytes: &[u8]) -> Result<Keys, Error> {
        let parts = split(bytes)?;
        if *parts.salt != self.salt {
            return Err(Error::KeyringClosed);
        }
        let mut body = Zeroizing::new(parts.body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*parts.nonce);
        let plaintext = self
            .cipher
            .open_in_place(nonce, Aad::from(parts.header), &mut body)
            .map_err(|_| Error::KeyringClosed)?;
        serde_json::from_slice(plaintext).map_err(|_| Error::KeyringClosed)
    }

    /// Replaces the file in one step: a crash leaves the old one or the new one.
    fn replace(&self, keys: &Keys) -> Result<(), Error> {
        let mut nonce = [0; 12];
        rand::fill(&mut nonce)?;
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&self.salt);
        header.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(serde_json::to_vec(keys).map_err(|_| Error::Cryptography)?);
        self.cipher.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(&header),
            &mut *body,
        )?;
        // A temporary file is of mode 0600 from the start.
        let folder = folder(&self.path);
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io_error)?;
        file.write_all(&header).map_err(io_error)?;
        file.write_all(&body).map_err(io_error)?;
        file.as_file().sync_all().map_err(io_error)?;
        file.persist(&self.path).map_err(|error| io_error(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)
    }
}

struct Parts<'a> {
    header: &'a [u8],
    salt: &'a [u8; SALT_LEN],
    nonce: &'a [u8; 12],
    body: &'a [u8],
}

fn split(bytes: &[u8]) -> Result<Parts<'_>, Error> {
    let parts = || {
        let (header, body) = bytes.split_at_checked(HEADER_LEN)?;
        let rest = header.strip_prefix(MAGIC.as_slice())?;
        let (salt, rest) = rest.split_first_chunk()?;
        Some(Parts { header, salt, nonce: rest.first_chunk()?, body })
    };
    parts().ok_or(Error::KeyringClosed)
}

fn unlock_key(
    unlock: &Unlock,
    salt: &[u8; SALT_LEN],
    keyring_exists: bool,
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut key = Zeroizing::new([0; 32]);
    match unlock {
        Unlock::Passphrase(passphrase) => {
            let params = Params::new(64 * 1024, 3, 4, Some(32)).map_err(|_| Error::Cryptography)?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(passphrase.expose_secret().as_bytes(), salt, &mut key[..])
                .map_err(|_| Error::Cryptography)?;
        }
        Unlock::KeyFile(path) => {
            let secret = key_file(path, keyring_exists)?;
            let prk = Salt::new(HKDF_SHA256, salt).extract(&secret[..]);
            prk.expand(&[b"cupel/keyring/1"], HKDF_SHA256)?.fill(&mut key[..])?;
        }
    }
    Ok(key)
}

/// Reads the key file, or generates one for a new keyring.
fn key_file(path: &Path, keyring_exists: bool) -> Result<Zeroizing<[u8; 32]>, Error> {
    match read_private(path) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| Error::KeyFileLength)
        }
        Err(Error::KeyringIo { source }) if is_absent(&source) => {
            if keyring_exists {
                return Err(Error::KeyFileMissing);
            }
            let mut secret = Zeroizing::new([0; 32]);
            rand::fill(&mut secret[..])?;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(io_error)?;
            file.write_all(&secret[..]).and_then(|()| file.sync_all()).map_err(io_error)?;
            Ok(secret)
        }
        Err(error) => Err(error),
    }
}

/// Reads a file that nobody but its owner may use.
fn read_private(path: &Path) -> Result<Vec<u8>, Error> {
    let mut file = File::open(path).map_err(io_error)?;
    let mode = file.metadata().map_err(io_error)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::KeyFileMode);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io_error)?;
    Ok(bytes)
}

/// Takes the lock of the keyring: a file beside it, since the keyring itself is replaced.
fn lock(path: &Path) -> Result<File, Error> {
    fs::create_dir_all(folder(path)).map_err(io_error)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(name)
        .map_err(io_error)?;
    let deadline = Instant::now() + LOCK_DEADLINE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(fs::TryLockError::WouldBlock) => return Err(Error::KeyringBusy),
            Err(fs::TryLockError::Error(error)) => return Err(io_error(error)),
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn io_error(error: io::Error) -> Error {
    Error::KeyringIo { source: Arc::new(error) }
}

fn is_absent(source: &crate::error::Cause) -> bool {
    let error = source.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}
