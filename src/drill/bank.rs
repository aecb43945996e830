//! The bank, which is outside: after a restore it still knows what it did after the backup. The sandbox bank
//! keeps its log in Maru's database, so the drill carries the log over, as nobody could with a real one's.

use std::collections::{BTreeMap, BTreeSet};

use maru_streams::oracle::documents;
use maru_streams::store::{Key, Part, Store};
use maru_workers::ports::sandbox::Account;
use serde_json::Value;

use super::Failed;

/// The bank's own table.
const TABLE: &str = "sandbox_charge";

/// What the bank knows, by payment.
pub struct Log(Vec<(Key, Value)>);

fn payment(key: &Key) -> Option<&str> {
    match key.parts.first() {
        Some(Part::Text(payment)) => Some(payment),
        _ => None,
    }
}

impl Log {
    pub async fn read(store: &Store) -> Result<Self, Failed> {
        Ok(Self(documents(store, TABLE).await?))
    }

    /// Writes it over an older one, and names the payments that the bank has moved since.
    pub async fn carry_over(&self, store: &Store) -> Result<BTreeSet<String>, Failed> {
        let mut moved = BTreeSet::new();
        let older: BTreeMap<String, Value> = documents(store, TABLE)
            .await?
            .into_iter()
            .filter_map(|(key, doc)| Some((payment(&key)?.to_owned(), doc)))
            .collect();
        for (key, doc) in &self.0 {
            let Some(payment) = payment(key) else { continue };
            match older.get(payment) {
                Some(before) if before == doc => continue,
                Some(before) => store.replace(key, before, doc).await?,
                None => store.create(key, doc).await?,
            };
            moved.insert(payment.to_owned());
        }
        Ok(moved)
    }

    /// What it did with the other payments.
    pub fn accounts(self, without: &BTreeSet<String>) -> Result<BTreeMap<String, Account>, Failed> {
        let mut accounts = BTreeMap::new();
        for (key, doc) in self.0 {
            if let Some(payment) = payment(&key).filter(|payment| !without.contains(*payment)) {
                accounts.insert(payment.to_owned(), serde_json::from_value(doc)?);
            }
        }
        Ok(accounts)
    }
}
