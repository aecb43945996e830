//! Takes away logins whose refresh token nobody can use any more. A token that has no row is refused like
//! one that was spent, so nobody notices.

use maru_schemas::members::{Login, REFRESH_SECONDS, minted_at};
use maru_streams::store::{Key, Part};
use uuid::Uuid;

use super::{Clockwork, Outcome, reason};

const PAGE: usize = 500;

/// Takes them away, and returns how many they were.
pub(super) async fn purge(clockwork: &Clockwork) -> Outcome {
    let now = clockwork.clock.now().as_second();
    let mut after = Vec::new();
    let mut purged = 0;
    loop {
        let page: Vec<(Vec<Part>, Login)> = clockwork
            .store
            .page("members_refresh", &[], &after, PAGE)
            .await
            .map_err(|error| reason(&error))?;
        let families = page.iter().map(|(key, login)| (key, family(key), login));
        let over: Vec<Key> = families
            .filter(|(_, family, login)| login.is_over(*family, now))
            .map(|(key, ..)| Key::new("members_refresh", key.clone()))
            .collect();
        purged += over.len() as u64;
        clockwork.store.delete(&over).await.map_err(|error| reason(&error))?;
        match page.last() {
            // Keys are in the order of logging in: behind one that is young, all are.
            Some((key, _)) if page.len() == PAGE && minted_at(family(key)) + REFRESH_SECONDS < now => {
                after.clone_from(key);
            }
            _ => break,
        }
    }
    Ok(purged)
}

fn family(key: &[Part]) -> Uuid {
    match key {
        [Part::Text(id)] => Uuid::parse_str(id).unwrap_or_default(),
        _ => Uuid::nil(),
    }
}
