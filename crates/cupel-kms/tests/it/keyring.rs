//! What only a file can do wrong.

use std::error::Error as StdError;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cupel_kms::{Credential, Error, KeyAdmin, KeyAlias, KeyProvider, LocalKeyring, Unlock};
use cupel_tenant::TenantScope;
use tempfile::TempDir;

use crate::services::{TestResult, keys_on, two_orgs};

struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Result<Self, Box<dyn StdError>> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    fn keyring(&self) -> PathBuf {
        self.folder.path().join("keyring")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("keyring.key")
    }

    async fn open(&self) -> Result<LocalKeyring, Error> {
        LocalKeyring::open(self.keyring(), Unlock::KeyFile(self.key())).await
    }
}

fn mode(path: &Path) -> Result<u32, Box<dyn StdError>> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

#[tokio::test]
async fn a_passphrase_opens_what_it_made_and_another_does_not() -> TestResult {
    let files = Files::new()?;
    let with = |passphrase: &str| {
        LocalKeyring::open(files.keyring(), Unlock::Passphrase(passphrase.into()))
    };
    assert!(matches!(with("short").await, Err(Error::Passphrase)));
    assert!(!files.keyring().exists());

    let keys = keys_on(with("correct horse").await?)?;
    let pair = two_orgs(&keys).await?;
    let scope = TenantScope::org(pair.first().clone());
    let place = Credential::of("s", "r", "f");
    let sealed = keys.scoped(&scope).seal(place.clone(), b"hunter2").await?;

    assert!(matches!(with("battery staple").await, Err(Error::KeyringClosed)));
    assert!(matches!(files.open().await, Err(Error::KeyringClosed | Error::KeyFileMissing)));
    let again = keys_on(with("correct horse").await?)?;
    assert_eq!(again.scoped(&scope).open(place, &sealed).await?.expose(), b"hunter2");
    Ok(())
}

#[tokio::test]
async fn files_are_private_and_broader_ones_are_refused() -> TestResult {
    let files = Files::new()?;
    files.open().await?;
    assert_eq!((mode(&files.keyring())?, mode(&files.key())?), (0o600, 0o600));
    for path in [files.key(), files.keyring()] {
        for broad in [0o640, 0o604, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(broad))?;
            assert!(matches!(files.open().await, Err(Error::KeyFileMode)));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    }
    files.open().await?;
    Ok(())
}

#[tokio::test]
async fn a_missing_or_short_key_file_is_not_replaced() -> TestResult {
    let files = Files::new()?;
    files.open().await?;
    let secret = fs::read(files.key())?;
    fs::remove_file(files.key())?;
    assert!(matches!(files.open().await, Err(Error::KeyFileMissing)));
    assert!(!files.key().exists());
    fs::write(files.key(), b"short")?;
    fs::set_permissions(files.key(), Permissions::from_mode(0o600))?;
    assert!(matches!(files.open().await, Err(Error::KeyFileLength)));
    fs::write(files.key(), secret)?;
    files.open().await?;
    Ok(())
}

#[tokio::test]
async fn no_key_or_name_is_readable_and_no_byte_can_change() -> TestResult {
    let files = Files::new()?;
    let keyring = files.open().await?;
    keyring.create(&"acme-corp".parse()?).await?;
    let bytes = fs::read(files.keyring())?;
    assert!(!bytes.windows(9).any(|window| window == b"acme-corp"));
    for offset in [0, 8, 24, 36, bytes.len() - 1] {
        let mut altered = bytes.clone();
        if let Some(byte) = altered.get_mut(offset) {
            *byte ^= 1;
        }
        fs::write(files.keyring(), altered)?;
        assert!(matches!(files.open().await, Err(Error::KeyringClosed)), "byte {offset}");
    }
    fs::write(files.keyring(), &bytes[..20])?;
    assert!(matches!(files.open().await, Err(Error::KeyringClosed)));
    Ok(())
}

#[tokio::test]
async fn two_writers_at_once_lose_nothing() -> TestResult {
    let files = Files::new()?;
    let (one, other) = (files.open().await?, files.open().await?);
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..20 {
        let keyring = if number % 2 == 0 { one.clone() } else { other.clone() };
        let org = format!("org-{number}").parse()?;
        writers.spawn(async move { keyring.create(&org).await });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    let third = files.open().await?;
    for number in 0..20 {
        third.describe(&KeyAlias::of(&format!("org-{number}").parse()?)).await?;
    }
    assert_eq!(third.health().await?.detail, "20 keys");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_written_is_told() -> TestResult {
    let unlock = Unlock::KeyFile("/proc/cupel.key".into());
    let refused = LocalKeyring::open("/proc/cupel/keyring", unlock).await;
    assert!(matches!(refused, Err(Error::KeyringIo { .. })), "{refused:?}");
    Ok(())
}
