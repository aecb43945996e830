//! The chain of a view's batches: each leaves a link from where it began to where it ended, written with
//! its rows. The embedded database can lose a single commit in the middle of others; then a link is
//! missing, and the rows cannot be trusted although the mark stands far behind the gap.

use serde::Deserialize;

use super::colour::Colour;
use super::view::View;
use crate::store::{Part, Store, StoreError, Tx, range, retry};

/// How far behind its mark a view keeps links, in events. What can be lost lies in the last two memtables
/// of writes, of a gigabyte each with less than 64 GiB of memory, and an event with its six views writes
/// four kilobytes and more.
const REACH: u64 = 500_000;
/// How many links are read in one go.
const PAGE: i64 = 10_000;

/// Leaves a link, and takes away what is out of reach by now: each batch as much as it is long itself, so
/// that no row is looked at twice.
pub(super) const LINK: &str = "
    UPSERT type::record('view_batch', [$view, $from]) CONTENT { to: $to } RETURN NONE;
    DELETE view_batch:[$view, $from - $reach]..[$view, $to - $reach] RETURN NONE;";

/// The reach as [`LINK`] takes it.
pub(super) const fn reach() -> i64 {
    REACH.cast_signed()
}

#[derive(Deserialize)]
struct Mark {
    seq: u64,
    since: Option<u64>,
}

#[derive(Deserialize)]
struct Link {
    from: u64,
    to: u64,
}

/// Whether no batch of a view is missing, in neither of its colours.
///
/// # Errors
/// When the database does not answer.
pub async fn is_whole(store: &Store, view: &dyn View) -> Result<bool, StoreError> {
    Ok(is_colour_whole(store, view, Colour::Blue).await? && is_colour_whole(store, view, Colour::Green).await?)
}

async fn is_colour_whole(store: &Store, view: &dyn View, colour: Colour) -> Result<bool, StoreError> {
    let label = colour.of(view.name());
    let mut rows = store
        .db()
        .query("SELECT seq, since FROM ONLY $mark")
        .bind(("mark", colour.mark(view.name()).record()))
        .await?;
    let mark: Option<serde_json::Value> = rows.take(0)?;
    let Some(mark) = mark else { return Ok(true) };
    let mark: Mark = serde_json::from_value(mark).map_err(StoreError::Row)?;
    // Further back the links are gone; the first one that is there begins the chain.
    let mut at = mark.since.filter(|since| since + REACH >= mark.seq);
    let mut after = at.map_or(-1, |at| at.cast_signed() - 1);
    loop {
        let links = links(store, &label, after).await?;
        let Some(last) = links.last() else {
            // A view at work may have gone on since its mark was read.
            return Ok(at.is_none_or(|at| at >= mark.seq));
        };
        after = last.from.cast_signed();
        for link in links {
            if at.is_some_and(|at| at != link.from) {
                return Ok(false);
            }
            at = Some(link.to);
        }
    }
}

async fn links(store: &Store, view: &str, after: i64) -> Result<Vec<Link>, StoreError> {
    let mut rows = store
        .db()
        .query("SELECT VALUE { from: record::id(id)[1], to: to } FROM array::first([$range]) LIMIT $page")
        .bind(("range", range("view_batch", &[Part::from(view)], &[Part::from(after)])))
        .bind(("page", PAGE))
        .await?;
    let rows: Vec<serde_json::Value> = rows.take(0)?;
    rows.into_iter()
        .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
        .collect()
}

/// Takes a view as it stands now for whole: whoever looks for a gap begins here.
///
/// # Errors
/// When the database does not answer.
pub async fn trust(store: &Store, view: &dyn View) -> Result<(), StoreError> {
    let marks = [Colour::Blue, Colour::Green].map(|colour| colour.mark(view.name()).record());
    let run = || {
        store
            .db()
            .query("{ FOR $mark IN $marks { UPDATE $mark SET since = seq RETURN NONE }; RETURN NONE; }")
            .bind(("marks", marks.to_vec()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}
