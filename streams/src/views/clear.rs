//! Taking rows away: those of the colour that nobody reads, a piece at a time, or all of a view at once.

use surrealdb::types::{RecordId, Value};

use super::colour::Colour;
use super::plan::{Plans, row};
use super::view::View;
use crate::store::{Part, Store, StoreError, Tx, range, retry};

/// Rows of one transaction.
const PIECE: i64 = 1000;

/// Where the rows of a colour lie, those of the machinery too.
fn places(view: &dyn View, colour: Colour) -> Vec<RecordId> {
    let own = [Part::from(colour.of(view.name()).into_owned())];
    let tables = view.tables().iter().map(|table| range(&colour.of(table), &[], &[]));
    let machinery = ["view_seen", "view_place", "view_batch"].map(|table| range(table, &own, &[]));
    tables.chain(machinery).collect()
}

/// Takes the rows of the other colour away, as long as the plan says that they shall go.
pub(super) async fn other(plans: &Plans, view: &dyn View, colour: Colour) -> Result<(), StoreError> {
    for place in places(view, colour) {
        loop {
            let run = || {
                plans
                    .store
                    .db()
                    .query(
                        "{
                        LET $stage = (SELECT VALUE stage FROM ONLY $row FOR UPDATE);
                        IF $stage NOT IN ['beginning', 'dropping'] { RETURN 0 };
                        LET $piece = (SELECT VALUE id FROM array::first([$place]) LIMIT $most);
                        DELETE $piece RETURN NONE;
                        RETURN array::len($piece);
                        }",
                    )
                    .bind(("row", row(view.name()).record()))
                    .bind(("place", place.clone()))
                    .bind(("most", PIECE))
                    .into_future()
            };
            match retry(run).await? {
                Tx::Done(gone) if gone == Value::from_t(0_i64) => break,
                Tx::Done(_) => {}
                other => return Err(other.into()),
            }
        }
    }
    Ok(())
}

/// Takes all rows of a view away, in both colours, so that its reader builds it again from the first
/// event. Until then people see what there is so far; a rebuild beside it spares them that.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(store: &Store, view: &dyn View) -> Result<(), StoreError> {
    let colours = [Colour::Blue, Colour::Green];
    let mut what: Vec<RecordId> = colours.iter().map(|colour| colour.mark(view.name()).record()).collect();
    what.extend(colours.iter().flat_map(|colour| places(view, *colour)));
    let run = || {
        store
            .db()
            .query(
                "{
                UPDATE $row SET stage = 'alone', build += 1, swap = false, compared = NONE RETURN NONE;
                FOR $one IN $what { DELETE $one RETURN NONE };
                RETURN NONE;
                }",
            )
            .bind(("row", row(view.name()).record()))
            .bind(("what", what.clone()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::super::rows::{FoldError, Rows};
    use super::*;
    use crate::jobs::Delivery;

    struct Home;

    impl View for Home {
        fn name(&self) -> &'static str {
            "book_home"
        }

        fn tables(&self) -> &'static [&'static str] {
            &["book_home"]
        }

        fn contexts(&self) -> &'static [&'static str] {
            &[]
        }

        fn fold<'a>(&'a self, _: &'a Delivery, _: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>> {
            std::future::ready(Ok(())).boxed()
        }
    }

    async fn seen(store: &Store, colour: Colour) -> usize {
        let whose = [Part::from(colour.of("book_home").into_owned())];
        let rows: Vec<(Vec<Part>, u64)> = store.page("view_seen", &whose, &[], 10_000).await.unwrap();
        rows.len()
    }

    #[tokio::test]
    async fn a_colour_of_many_pieces_goes_as_a_whole_and_the_other_one_stays() {
        let store = Store::open("mem://", None).await.unwrap();
        for colour in [Colour::Blue, Colour::Green] {
            store
                .db()
                .query("FOR $nth IN 0..2500 { CREATE type::record('view_seen', [$whose, 'books', $nth]) SET doc = 1 }")
                .bind(("whose", colour.of("book_home").into_owned()))
                .await
                .unwrap()
                .check()
                .unwrap();
        }
        let plans = Plans {
            store: store.clone(),
            view: "book_home",
        };
        plans.open().await.unwrap();
        other(&plans, &Home, Colour::Green).await.unwrap();
        assert_eq!(seen(&store, Colour::Green).await, 2500, "nobody wants it to go");
        plans.rebuild(false).await.unwrap();
        other(&plans, &Home, Colour::Green).await.unwrap();
        assert_eq!(seen(&store, Colour::Green).await, 0);
        assert_eq!(seen(&store, Colour::Blue).await, 2500);
    }
}
