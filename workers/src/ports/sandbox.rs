//! The sandbox payment provider: it behaves as a real one does, the bad days included, and keeps its
//! own durable log, so that one can count what was taken and given back without asking Maru.
//!
//! `sandbox_charge:[key]` is one charge under its idempotency key with everything that happened to it.

use futures_util::future::BoxFuture;
use maru_schemas::payments::{DeclineCode, TestCard};
use maru_streams::store::{Key, Store, StoreError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::bank::{Answer, Bank, Charge, NoAnswer};

/// How often a change that meets another one is tried again.
const TRIES: usize = 8;

/// The sandbox.
#[derive(Clone)]
pub struct Sandbox {
    store: Store,
}

/// One line of the sandbox's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// Money was taken.
    Charged,
    /// The bank said no.
    Declined,
    /// Money was given back at the buyer's wish.
    Refunded,
    /// Money was given back because the sale did not come about.
    Cancelled,
    /// Cancelled before anything was taken; it never will be.
    Voided,
}

/// One charge with all that happened to it, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// In won.
    pub amount: u32,
    /// What happened.
    pub log: Vec<Movement>,
}

impl Account {
    fn has(&self, movement: Movement) -> bool {
        self.log.contains(&movement)
    }
}

impl From<StoreError> for NoAnswer {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl Sandbox {
    /// The sandbox of this database.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// What the sandbox knows of a key.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub async fn account(&self, key: Uuid) -> Result<Option<Account>, StoreError> {
        self.store.get(&Key::of("sandbox_charge", key)).await
    }

    /// Appends to a key's log unless the log says that there is nothing to do, and returns the log.
    async fn append(
        &self,
        key: Uuid,
        amount: u32,
        what: impl Fn(&Account) -> Option<Movement>,
    ) -> Result<Account, NoAnswer> {
        let row = Key::of("sandbox_charge", key);
        for _ in 0..TRIES {
            let before = self.account(key).await?;
            let mut after = before.clone().unwrap_or(Account {
                amount,
                log: Vec::new(),
            });
            let Some(movement) = what(&after) else { return Ok(after) };
            after.log.push(movement);
            let written = match before {
                None => self.store.create(&row, &after).await?,
                Some(before) => self.store.replace(&row, &before, &after).await?,
            };
            if written {
                return Ok(after);
            }
        }
        Err(NoAnswer("the sandbox is busy".to_owned()))
    }

    async fn take(&self, charge: Charge) -> Result<Answer, NoAnswer> {
        let decline = match charge.card {
            TestCard::Declined => Some(DeclineCode::CardDeclined),
            TestCard::InsufficientFunds => Some(DeclineCode::InsufficientFunds),
            _ => None,
        };
        let wanted = if decline.is_some() {
            Movement::Declined
        } else {
            Movement::Charged
        };
        let is_repeat = self.account(charge.key).await?.is_some();
        let account = self
            .append(charge.key, charge.amount, |account| {
                account.log.is_empty().then_some(wanted)
            })
            .await?;
        if account.has(Movement::Voided) {
            return Ok(Answer::Declined(DeclineCode::CardDeclined));
        }
        match charge.card {
            // The charge is made; only the answer never comes. Who asks again is told.
            TestCard::TimesOut if !is_repeat => std::future::pending().await,
            TestCard::ChargedThenFails => Err(NoAnswer("status 500".to_owned())),
            _ => Ok(decline.map_or(Answer::Approved, Answer::Declined)),
        }
    }

    async fn give_back(&self, key: Uuid) -> Result<(), NoAnswer> {
        let account = self
            .append(key, 0, |account| {
                let is_back = account.has(Movement::Refunded) || account.has(Movement::Cancelled);
                (account.has(Movement::Charged) && !is_back).then_some(Movement::Refunded)
            })
            .await?;
        if account.has(Movement::Charged) {
            Ok(())
        } else {
            Err(NoAnswer("status 404".to_owned()))
        }
    }

    async fn undo(&self, key: Uuid) -> Result<bool, NoAnswer> {
        let account = self
            .append(key, 0, |account| {
                let is_over = [
                    Movement::Refunded,
                    Movement::Cancelled,
                    Movement::Voided,
                    Movement::Declined,
                ]
                .into_iter()
                .any(|movement| account.has(movement));
                match (is_over, account.has(Movement::Charged)) {
                    (true, _) => None,
                    (false, true) => Some(Movement::Cancelled),
                    (false, false) => Some(Movement::Voided),
                }
            })
            .await?;
        Ok(account.has(Movement::Charged))
    }
}

impl Bank for Sandbox {
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
        Box::pin(self.take(charge))
    }

    fn refund(&self, key: Uuid) -> BoxFuture<'_, Result<(), NoAnswer>> {
        Box::pin(self.give_back(key))
    }

    fn cancel(&self, key: Uuid) -> BoxFuture<'_, Result<bool, NoAnswer>> {
        Box::pin(self.undo(key))
    }
}
