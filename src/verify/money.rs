//! Whether the money adds up: the sandbox bank's own log held against what the buyers are told.

use std::collections::BTreeMap;

use maru_streams::oracle::Finding;
use maru_workers::ports::sandbox::{Account, Movement};
use serde_json::Value;

/// A purchase as its buyer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    pub purchase: String,
    pub state: String,
    /// In won.
    pub amount: u64,
    /// None for a book that costs nothing.
    pub payment: Option<String>,
}

impl Sale {
    pub fn read(purchase: &str, seen: &Value) -> Self {
        Self {
            purchase: purchase.to_owned(),
            state: seen["state"].as_str().unwrap_or_default().to_owned(),
            amount: seen["amount"].as_u64().unwrap_or_default(),
            payment: seen["paymentId"].as_str().map(str::to_owned),
        }
    }
}

/// What went over the counter, in won.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    pub charged: u64,
    pub given_back: u64,
    pub sold: u64,
}

fn count(account: &Account, wanted: &[Movement]) -> u64 {
    account.log.iter().filter(|movement| wanted.contains(movement)).count() as u64
}

/// Everything about money that cannot be; empty if it adds up.
pub fn judge(sales: &[Sale], accounts: &BTreeMap<String, Account>) -> (Sums, Vec<Finding>) {
    let (mut sums, mut findings) = (Sums::default(), Vec::new());
    let mut paid_for: BTreeMap<&str, &Sale> = BTreeMap::new();
    for sale in sales {
        let Sale { purchase, state, .. } = sale;
        if !matches!(state.as_str(), "COMPLETED" | "REFUNDED" | "REJECTED") {
            findings.push(Finding::new(
                "unfinished",
                format!("purchase {purchase} is still {state}"),
            ));
        }
        if state == "COMPLETED" {
            sums.sold += sale.amount;
        }
        match &sale.payment {
            Some(payment) => {
                if paid_for.insert(payment, sale).is_some() {
                    findings.push(Finding::new(
                        "paid_together",
                        format!("payment {payment} is for two purchases"),
                    ));
                }
                if !accounts.contains_key(payment) && state != "PAYING" {
                    let what = format!("purchase {purchase} is {state}, and the bank knows no payment {payment}");
                    findings.push(Finding::new("not_charged", what));
                }
            }
            None if sale.amount > 0 => {
                findings.push(Finding::new(
                    "not_charged",
                    format!("purchase {purchase} has no payment"),
                ));
            }
            None => {}
        }
    }
    for (payment, account) in accounts {
        let charged = count(account, &[Movement::Charged]);
        let back = count(account, &[Movement::Refunded, Movement::Cancelled]);
        let amount = u64::from(account.amount);
        sums.charged += charged * amount;
        sums.given_back += back * amount;
        if charged > 1 || back > charged {
            let what = format!("payment {payment} was charged {charged} times and given back {back} times");
            findings.push(Finding::new("charged_twice", what));
        }
        let sale = paid_for.get(payment.as_str());
        let state = sale.map_or("of no purchase", |sale| sale.state.as_str());
        let is_kept = charged > back;
        if is_kept != (state == "COMPLETED") && !matches!(state, "PAYING" | "REFUNDING") {
            let what = format!(
                "payment {payment} is {state}, and the bank {} the money",
                if is_kept { "keeps" } else { "does not keep" }
            );
            findings.push(Finding::new("money_differs", what));
        }
        if let Some(sale) = sale
            && is_kept
            && sale.amount != amount
        {
            let what = format!("payment {payment}: {} was to be paid, {amount} was taken", sale.amount);
            findings.push(Finding::new("amount_differs", what));
        }
    }
    if findings.is_empty() && sums.charged != sums.given_back + sums.sold {
        findings.push(Finding::new("sums_differ", format!("{sums:?}")));
    }
    (sums, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(nth: usize, state: &str) -> (Sale, (String, Account)) {
        let payment = format!("payment-{nth}");
        let log = match state {
            "COMPLETED" => vec![Movement::Charged],
            "REFUNDED" => vec![Movement::Charged, Movement::Refunded],
            _ => vec![Movement::Declined],
        };
        let sale = Sale {
            purchase: format!("purchase-{nth}"),
            state: state.to_owned(),
            amount: 100,
            payment: Some(payment.clone()),
        };
        (sale, (payment, Account { amount: 100, log }))
    }

    fn good() -> (Vec<Sale>, BTreeMap<String, Account>) {
        let states = ["COMPLETED", "REFUNDED", "REJECTED", "COMPLETED"];
        let (mut sales, accounts): (Vec<Sale>, BTreeMap<String, Account>) =
            states.iter().enumerate().map(|(nth, state)| sale(nth, state)).unzip();
        sales.push(Sale {
            purchase: "gift".into(),
            state: "COMPLETED".into(),
            amount: 0,
            payment: None,
        });
        (sales, accounts)
    }

    fn codes(sales: &[Sale], accounts: &BTreeMap<String, Account>) -> Vec<&'static str> {
        judge(sales, accounts).1.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_good_day_adds_up() {
        let (sales, accounts) = good();
        let (sums, findings) = judge(&sales, &accounts);
        assert_eq!(findings, vec![]);
        assert_eq!((sums.charged, sums.given_back, sums.sold), (300, 100, 200));
    }

    #[test]
    fn any_charge_that_is_made_twice_is_found() {
        let (sales, accounts) = good();
        for payment in accounts.keys() {
            let mut accounts = accounts.clone();
            let account = accounts.get_mut(payment).unwrap();
            account.log.extend([Movement::Charged, Movement::Charged]);
            assert!(codes(&sales, &accounts).contains(&"charged_twice"), "{payment}");
        }
    }

    #[test]
    fn any_charge_that_the_bank_forgot_is_found() {
        let (sales, accounts) = good();
        for payment in accounts.keys() {
            let mut accounts = accounts.clone();
            accounts.remove(payment);
            assert!(codes(&sales, &accounts).contains(&"not_charged"), "{payment}");
        }
    }

    #[test]
    fn money_that_was_taken_for_nothing_is_found() {
        let (mut sales, accounts) = good();
        sales[0].state = "REJECTED".into();
        assert_eq!(codes(&sales, &accounts), ["money_differs"]);
        sales.remove(0);
        assert_eq!(codes(&sales, &accounts), ["money_differs"], "of no purchase at all");
    }

    #[test]
    fn a_purchase_that_never_ends_and_another_price_are_found() {
        let (mut sales, accounts) = good();
        sales[2].state = "PAYING".into();
        sales[3].amount = 90;
        assert_eq!(codes(&sales, &accounts), ["unfinished", "amount_differs"]);
    }
}
