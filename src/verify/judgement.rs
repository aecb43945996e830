//! Afterwards: everything is read from where it lies, with the installation stopped, and judged.

use std::collections::BTreeMap;

use maru_schemas::CONTEXTS;
use maru_streams::nats::Nats;
use maru_streams::oracle::{self, Facts, FactsError, Finding, documents};
use maru_streams::store::{Part, Store, StoreError};
use maru_streams::tail::TailError;
use maru_workers::ports::sandbox::Account;

use super::journal::Written;
use super::money::{self, Sale, Sums};
use super::views;

/// What could not be read, and so not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgementError {
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tail(#[from] TailError),
    #[error("the bank's log cannot be read: {0}")]
    Bank(#[from] serde_json::Error),
}

/// What was counted on the way.
#[derive(Default)]
pub struct Counted {
    pub commands: usize,
    pub events: usize,
    pub sums: Sums,
    pub sales: usize,
}

/// Reads and judges everything.
pub async fn judge(
    nats: &Nats,
    store: &Store,
    written: &Written,
    sales: &[Sale],
) -> Result<(Counted, Vec<Finding>), JudgementError> {
    let facts = Facts::read(nats, store, &CONTEXTS).await?;
    let mut findings = oracle::judge(&facts, &written.promises);
    let mut accounts = BTreeMap::new();
    for (key, doc) in documents(store, "sandbox_charge").await? {
        let account: Account = serde_json::from_value(doc)?;
        if let Some(Part::Text(payment)) = key.parts.first() {
            accounts.insert(payment.clone(), account);
        }
    }
    let (sums, about_money) = money::judge(sales, &accounts);
    findings.extend(about_money);
    findings.extend(views::judge(nats, store).await?);
    let counted = Counted {
        commands: facts.commands.len(),
        events: facts.events.len(),
        sums,
        sales: sales.len(),
    };
    Ok((counted, findings))
}
