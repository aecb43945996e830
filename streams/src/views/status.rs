//! How every view stands: for operators, for the metrics, and for whoever waits for a mark. All of it is
//! read from the database and the stream, so any process can tell, also of a view that nobody reads.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::colour::Colour;
use super::plan::{Plan, Plans, Stage};
use super::reader::ReadError;
use super::view::{Role, View};
use crate::nats::Nats;
use crate::store::{Store, StoreError, range};
use crate::tail;

/// How often the metrics are brought up to date.
const EVERY: Duration = Duration::from_secs(5);

/// How far the colour of a view that people read has read: the sequence of the last event it knows.
///
/// # Errors
/// When the database does not answer.
pub async fn mark(store: &Store, view: &'static str) -> Result<Option<u64>, StoreError> {
    let plans = Plans {
        store: store.clone(),
        view,
    };
    let (_, read, _) = plans.read().await?;
    Ok(read.map(|place| place.seq))
}

/// Writes down at which event a reader waits, and why. It goes away with the next batch that is
/// committed.
pub(super) async fn note_waiting(store: &Store, view: &'static str, role: Role, error: &ReadError) {
    let seq = match error {
        ReadError::Fold { seq, .. } | ReadError::Hole { seq, .. } => *seq,
        _ => return,
    };
    let noted = async {
        let plans = Plans {
            store: store.clone(),
            view,
        };
        let (plan, ..) = plans.read().await?;
        let colour = match role {
            Role::Read => plan.reads,
            Role::Other => plan.reads.other(),
        };
        store
            .db()
            .query(
                "UPDATE $mark SET waits = { seq: $seq, why: $why, since: type::string(time::now()) }
                 WHERE waits.seq != $seq OR waits.why != $why RETURN NONE",
            )
            .bind(("mark", colour.mark(view).record()))
            .bind(("seq", i64::try_from(seq).unwrap_or(i64::MAX)))
            // The error's own sentence, without its causes: those may repeat what a row holds.
            .bind(("why", error.to_string()))
            .await?
            .check()?;
        Ok::<_, StoreError>(())
    };
    if let Err(error) = noted.await {
        tracing::debug!(view, %error, "that the view waits could not be written down");
    }
}

/// One colour as it stands.
async fn place(store: &Store, view: &dyn View, colour: Colour, newest: u64) -> Result<Value, StoreError> {
    let mut rows = 0;
    for table in view.tables() {
        let mut answer = store
            .db()
            .query("RETURN (SELECT count() FROM $all GROUP ALL)[0].count ?? 0")
            .bind(("all", range(&colour.of(table), &[], &[])))
            .await?;
        let count: Option<i64> = answer.take(0)?;
        rows += count.unwrap_or_default();
    }
    let mut answer = store
        .db()
        .query("SELECT seq, waits FROM ONLY $mark")
        .bind(("mark", colour.mark(view.name()).record()))
        .await?;
    let found: Option<Value> = answer.take(0)?;
    let found = found.unwrap_or_default();
    let mark = found["seq"].as_u64().unwrap_or_default();
    Ok(json!({
        "colour": colour,
        "mark": mark,
        "lag": newest.saturating_sub(mark),
        "rows": rows,
        "waits": found["waits"],
    }))
}

/// A view as it stands; `newest` is the last sequence of EVENTS.
pub(super) async fn of(store: &Store, view: &dyn View, newest: u64) -> Result<Value, StoreError> {
    let plans = Plans {
        store: store.clone(),
        view: view.name(),
    };
    let (plan, ..) = plans.read().await?;
    let Plan {
        reads, stage, compared, ..
    } = plan;
    let read = place(store, view, reads, newest).await?;
    let other = match stage {
        Stage::Alone => Value::Null,
        _ => {
            let mut other = place(store, view, reads.other(), newest).await?;
            other["stage"] = json!(stage);
            other["swapWhenEqual"] = json!(plan.swap);
            if matches!(stage, Stage::Beginning | Stage::Building) {
                other["percent"] = json!(percent(&other["mark"], &read["mark"]));
            }
            other
        }
    };
    Ok(json!({
        "view": view.name(),
        "read": read,
        "other": other,
        "compared": compared,
    }))
}

/// How much of what people read has been read again. All of it only when it is found out whether it is equal.
fn percent(mark: &Value, goal: &Value) -> u64 {
    let (mark, goal) = (mark.as_u64().unwrap_or_default(), goal.as_u64().unwrap_or_default());
    (mark.saturating_mul(100) / goal.max(1)).min(99)
}

/// Exports how far every view is behind, until told to stop.
pub async fn watch(nats: Nats, store: Store, views: Vec<Arc<dyn View>>, stop: CancellationToken) {
    loop {
        if let Err(error) = measure(&nats, &store, &views).await {
            tracing::debug!(error, "how far the views are behind is not known");
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

async fn measure(nats: &Nats, store: &Store, views: &[Arc<dyn View>]) -> Result<(), String> {
    let newest = tail::last_sequence(nats).await.map_err(|error| error.to_string())?;
    for view in views {
        let mut answer = store
            .db()
            .query(
                "LET $mark = IF (SELECT VALUE reads FROM ONLY $row) = 'green' { $green } ELSE { $blue };
                 SELECT seq, waits != NONE AS is_waiting FROM ONLY $mark",
            )
            .bind(("row", super::plan::row(view.name()).record()))
            .bind(("blue", Colour::Blue.mark(view.name()).record()))
            .bind(("green", Colour::Green.mark(view.name()).record()))
            .await
            .map_err(|error| error.message().to_owned())?;
        let found: Option<Value> = answer.take(1).map_err(|error| error.message().to_owned())?;
        let found = found.unwrap_or_default();
        let mark = found["seq"].as_u64().unwrap_or_default();
        let waits = f64::from(u8::from(found["is_waiting"] == true));
        metrics::gauge!("maru_view_mark_sequence", "view" => view.name()).set(mark as f64);
        metrics::gauge!("maru_view_lag_events", "view" => view.name()).set(newest.saturating_sub(mark) as f64);
        metrics::gauge!("maru_view_waiting", "view" => view.name()).set(waits);
    }
    Ok(())
}
