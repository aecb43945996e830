//! Brings the tables up to date. Each migration runs once; the row `migration:[number]` says that it
//! did. Several processes may start at once: the statements can run twice, and the row is created by
//! one of them.

use maru_schemas::surreal::MIGRATIONS;

use super::{Key, Part, Store, StoreError};

pub(super) async fn run(store: &Store) -> Result<(), StoreError> {
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
            .map_err(|error| StoreError::Migration {
                number: migration.number,
                name: migration.name,
                why: error.message().to_owned(),
            })?;
        store.create(&key, &migration.name).await?;
        tracing::debug!(number = migration.number, name = migration.name, "migrated");
    }
    Ok(())
}
