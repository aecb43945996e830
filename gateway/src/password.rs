//! Passwords: argon2id, never in a stream, a log or an answer; the hash travels sealed.
//!
//! Hashing costs a core for a while on purpose. It runs beside the request tasks, and only as many at
//! once as there are cores, so that a crowd at the login does not stop everybody else.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::keys::Keys;
use crate::problem::Problem;

static CORES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    Arc::new(Semaphore::new(
        std::thread::available_parallelism().map_or(2, usize::from),
    ))
});

/// OWASP's minimum for argon2id: 19 MiB, two rounds, one lane.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

async fn on_a_core<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let place = Arc::clone(&CORES).acquire_owned().await.map_err(Problem::internal)?;
    tokio::task::spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    })
    .await
    .map_err(Problem::internal)
}

/// Hashes a password and seals the hash.
///
/// # Errors
/// When it cannot be hashed.
pub async fn sealed_hash(keys: &Keys, password: String) -> Result<String, Problem> {
    let hash = on_a_core(move || argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
        .await?
        .map_err(Problem::internal)?;
    keys.seal(&hash).map_err(Problem::internal)
}

/// Whether a password fits a sealed hash. Without a hash (nobody has this username) it takes as long
/// and says no, so that the time tells nothing.
///
/// # Errors
/// When the seal is not this installation's.
pub async fn fits(keys: &Keys, sealed: Option<&str>, password: String) -> Result<bool, Problem> {
    let hash = sealed
        .map(|sealed| keys.unseal(sealed))
        .transpose()
        .map_err(Problem::internal)?;
    on_a_core(move || match hash.as_deref().map(PasswordHash::new) {
        Some(Ok(hash)) => argon2().verify_password(password.as_bytes(), &hash).is_ok(),
        _ => {
            let _ = argon2().hash_password(password.as_bytes());
            false
        }
    })
    .await
}
