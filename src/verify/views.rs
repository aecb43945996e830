//! Whether what people read is what a fresh reading of EVENTS makes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use maru_streams::nats::Nats;
use maru_streams::oracle::{Finding, documents};
use maru_streams::store::{Key, Store};
use maru_streams::tail::last_sequence;
use maru_streams::views::{View, forget, mark, read};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::judgement::JudgementError;

/// How long a fresh reading may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many differing rows of a view are named.
const NAMED: usize = 5;

type Rows = Vec<(Key, Value)>;

async fn rows(store: &Store, view: &dyn View) -> Result<Rows, JudgementError> {
    let mut rows = Vec::new();
    for table in view.tables() {
        rows.extend(documents(store, table).await?);
    }
    Ok(rows)
}

/// Builds every view anew and compares. The installation is a scratch one, and nobody reads it now.
pub async fn judge(nats: &Nats, store: &Store) -> Result<Vec<Finding>, JudgementError> {
    let (last, mut findings) = (last_sequence(nats).await?, Vec::new());
    for view in maru_workers::views::all() {
        let name = view.name();
        let at = mark(store, name).await?.unwrap_or_default();
        if at < last {
            let what = format!("view {name} stands at {at} of {last}");
            findings.push(Finding::new("view_behind", what));
        }
        let before = rows(store, &*view).await?;
        forget(store, &*view).await?;
        let stop = CancellationToken::new();
        let reading = tokio::spawn(read(nats.clone(), store.clone(), Arc::clone(&view), stop.clone()));
        let until = Instant::now() + PATIENCE;
        while mark(store, name).await?.unwrap_or_default() < last && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        let _ = reading.await;
        findings.extend(differ(name, &before, &rows(store, &*view).await?));
    }
    Ok(findings)
}

fn differ(view: &str, before: &Rows, fresh: &Rows) -> Vec<Finding> {
    let only_in = |one: &Rows, other: &Rows| -> Vec<String> {
        let missing = one.iter().filter(|row| !other.contains(row));
        missing
            .map(|(key, _)| format!("{}:{:?}", key.table, key.parts))
            .collect()
    };
    // Rows are in the order of their keys, so equal lists are the plain case.
    if before == fresh {
        return Vec::new();
    }
    let mut places = only_in(before, fresh);
    places.extend(only_in(fresh, before));
    places.sort();
    places.dedup();
    let count = places.len();
    places.truncate(NAMED);
    let what = format!(
        "view {view}: {count} rows are not as a fresh reading makes them: {}",
        places.join(", ")
    );
    vec![Finding::new("view_differs", what)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_that_are_missing_or_say_something_else_are_found() {
        let row = |id: &str, price: u64| (Key::new("book_home", [id.into()]), json!({ "price": price }));
        let fresh = vec![row("a", 1), row("b", 2)];
        assert_eq!(differ("book_home", &fresh, &fresh), vec![]);
        for before in [
            vec![row("a", 1)],
            vec![row("a", 1), row("b", 3)],
            vec![row("a", 1), row("b", 2), row("c", 0)],
        ] {
            assert_eq!(differ("book_home", &before, &fresh)[0].code, "view_differs");
        }
    }
}
