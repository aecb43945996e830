//! Brings the tables up to date. Each migration runs once; the row `migration:[number]` says that it
//! did. Several processes may start at once: the statements can run twice, and the row is created by
//! one of them. Whoever collides with another one looks again.

use std::time::Duration;

use maru_schemas::surreal::MIGRATIONS;

use super::outcome::is_conflict;
use super::{Key, Part, Store, StoreError};

/// How often, and how far apart: the longest migration takes less than a second.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(store: &Store) -> Result<(), StoreError> {
    for _ in 1..LOOKS {
        match migrate(store).await {
            Err(StoreError::Query(error)) if is_conflict(&error) => tokio::time::sleep(LOOK_EVERY).await,
            outcome => return outcome,
        }
    }
    migrate(store).await
}

async fn migrate(store: &Store) -> Result<(), StoreError> {
    store
        .db()
        .query(
            "DEFINE TABLE IF NOT EXISTS migration TYPE NORMAL SCHEMAFULL PERMISSIONS NONE;
             DEFINE FIELD IF NOT EXISTS doc ON migration TYPE string READONLY;",
        )
        .await
        .and_then(surrealdb::IndexedResults::check)?;
    for migration in MIGRATIONS {
        let key = Key::new("migration", [Part::Number(migration.number)]);
        if store.get::<String>(&key).await?.is_some() {
            continue;
        }
        store
            .db()
            .query(migration.text)
            .await
            .and_then(surrealdb::IndexedResults::check)
            .map_err(|error| match is_conflict(&error) {
                true => StoreError::Query(error),
                false => StoreError::Migration {
                    number: migration.number,
                    name: migration.name,
                    why: error.message().to_owned(),
                },
            })?;
        store.create(&key, &migration.name).await?;
        tracing::debug!(number = migration.number, name = migration.name, "migrated");
    }
    Ok(())
}
