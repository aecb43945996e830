//! The installation's own keys: one signs access tokens, one seals password hashes and tells repeated
//! requests from different ones. They lie in two files that only we can read, made at the first start.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sha2::{Digest, Sha256};

use crate::accept::new_id;

/// The keys of an installation.
pub struct Keys {
    /// Signs tokens.
    pub signing: EncodingKey,
    /// Checks tokens.
    pub checking: DecodingKey,
    /// Names the signing key in tokens and in the published set.
    pub key_id: String,
    /// The published set, for others who check our tokens.
    pub published: JwkSet,
    sealing: RandomizedNonceKey,
    repeats: hmac::Key,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[error("the installation's keys in {folder}: {why}")]
pub struct KeysError {
    folder: String,
    why: String,
}

/// Why a box could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value cannot be {0}; was it sealed by another installation?")]
pub struct SealError(&'static str);

impl Keys {
    /// Reads the keys from a folder, making them if there are none.
    ///
    /// # Errors
    /// When they can neither be read nor written, or are not keys.
    pub fn open(folder: &Path) -> Result<Self, KeysError> {
        let failed = |why: String| KeysError {
            folder: folder.display().to_string(),
            why,
        };
        fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        let pem = file(&folder.join("signing.pem"), new_signing_key).map_err(&failed)?;
        let secret = file(&folder.join("sealing.key"), new_secret).map_err(&failed)?;
        Self::new(&pem, &secret).map_err(failed)
    }

    fn new(pem: &str, secret: &str) -> Result<Self, String> {
        let signing = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|error| error.to_string())?;
        let mut jwk = Jwk::from_encoding_key(&signing, Algorithm::RS256).map_err(|error| error.to_string())?;
        let key_id = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(pem.as_bytes())[..9]);
        jwk.common.key_id = Some(key_id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_algorithm = Some(KeyAlgorithm::RS256);
        let checking = DecodingKey::from_jwk(&jwk).map_err(|error| error.to_string())?;
        let secret = BASE64_STANDARD
            .decode(secret.trim())
            .map_err(|_| "sealing.key is not base64".to_owned())?;
        if secret.len() != 64 {
            return Err("sealing.key is not 64 bytes long".to_owned());
        }
        // Two keys for two uses, from one file.
        let sealing = RandomizedNonceKey::new(&AES_256_GCM, &secret[..32]).map_err(|error| error.to_string())?;
        Ok(Self {
            signing,
            checking,
            key_id,
            published: JwkSet { keys: vec![jwk] },
            sealing,
            repeats: hmac::Key::new(hmac::HMAC_SHA256, &secret[32..]),
        })
    }

    /// Seals a value so that only this installation can read it, wherever it travels.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn seal(&self, value: &str) -> Result<String, SealError> {
        let mut sealed = value.as_bytes().to_vec();
        let nonce = self
            .sealing
            .seal_in_place_append_tag(Aad::empty(), &mut sealed)
            .map_err(|_| SealError("sealed"))?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut sealed);
        Ok(BASE64_STANDARD.encode(whole))
    }

    /// Opens what [`Keys::seal`] sealed.
    ///
    /// # Errors
    /// When it was not sealed with this key, or was changed.
    pub fn unseal(&self, sealed: &str) -> Result<String, SealError> {
        let failed = || SealError("opened");
        let whole = BASE64_STANDARD.decode(sealed).map_err(|_| failed())?;
        let (nonce, sealed) = whole.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut value = sealed.to_vec();
        let value = self
            .sealing
            .open_in_place(nonce, Aad::empty(), &mut value)
            .map_err(|_| failed())?;
        String::from_utf8(value.to_vec()).map_err(|_| failed())
    }

    /// A keyed hash of what was asked: tells a repeat from a mix-up, and lets nobody guess at what was
    /// asked by trying.
    #[must_use]
    pub fn fingerprint(&self, asked: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.repeats, asked).as_ref())
    }
}

/// Reads a file, making it first if it is not there. It appears whole or not at all, and two who make it at
/// once agree on the first.
fn file(path: &Path, make: impl Fn() -> Result<String, String>) -> Result<String, String> {
    if let Ok(text) = fs::read_to_string(path) {
        return Ok(text);
    }
    let text = make()?;
    let draft = path.with_extension(format!("{}.new", new_id()));
    let put = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&draft, path)
    };
    let made = put();
    let _ = fs::remove_file(&draft);
    match made {
        Ok(()) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::read_to_string(path).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn new_signing_key() -> Result<String, String> {
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(|error| error.to_string())?;
    let der = key.as_der().map_err(|error| error.to_string())?;
    let base64 = BASE64_STANDARD.encode(der.as_ref());
    let lines: Vec<String> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    Ok(format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    ))
}

fn new_secret() -> Result<String, String> {
    let mut secret = [0_u8; 64];
    aws_lc_rs::rand::fill(&mut secret).map_err(|error| error.to_string())?;
    Ok(BASE64_STANDARD.encode(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(&new_signing_key().unwrap(), &new_secret().unwrap()).unwrap()
    }

    #[test]
    fn what_is_sealed_can_be_opened_here_and_nowhere_else() {
        let (ours, theirs) = (keys(), keys());
        let sealed = ours.seal("a hash").unwrap();
        assert!(!sealed.contains("hash"));
        assert_eq!(ours.unseal(&sealed).unwrap(), "a hash");
        assert!(theirs.unseal(&sealed).is_err());
        assert!(ours.unseal("AAAA").is_err() && ours.unseal("?").is_err());
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint() {
        let keys = keys();
        assert_eq!(keys.fingerprint(b"x"), keys.fingerprint(b"x"));
        assert_ne!(keys.fingerprint(b"x"), keys.fingerprint(b"y"));
    }

    #[test]
    fn those_who_make_the_keys_at_once_have_the_same_ones() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Keys::open(folder.path()).map(|keys| (keys.key_id.clone(), keys.fingerprint(b"x")));
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap().unwrap())
                .collect()
        });
        assert!(opened.iter().all(|keys| *keys == opened[0]), "{opened:?}");
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "no draft is left behind");
    }
}
