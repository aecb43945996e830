//! What is to become of a view's other colour: one row, changed in one transaction at a time, so that
//! whoever is killed in the middle leaves a plan that the next one goes on with.
//!
//! ```text
//!            rebuild             cleared             compared
//!   ALONE ────────────▶ BEGINNING ───────▶ BUILDING ──────────▶ READY ◀─┐
//!     ▲                                                         │  └────┘ swap: the two change places
//!     └────────────────────── DROPPING ◀────────────────────────┘ drop
//! ```
//!
//! A colour that has a mark is kept up to date, read or not. So nothing is ever cleared that has one,
//! and swapping back is as quick as swapping.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::colour::Colour;
use super::compare::Comparison;
use crate::store::{Key, Part, Store, StoreError, Tx, retry};

/// How far the other colour is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// There is none.
    #[default]
    Alone,
    /// What lies there is cleared, to build anew.
    Beginning,
    /// It reads EVENTS from the first one on.
    Building,
    /// It is there, compared, and kept up to date.
    Ready,
    /// It is taken away.
    Dropping,
}

/// The plan of a view.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Plan {
    /// Which colour people read.
    pub reads: Colour,
    /// How far the other one is.
    pub stage: Stage,
    /// Counts rebuilds.
    pub build: i64,
    /// Whether it is to be read as soon as it is found equal.
    pub swap: bool,
    /// What the last comparison came to.
    #[serde(default)]
    pub compared: Option<Comparison>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            reads: Colour::Blue,
            stage: Stage::Alone,
            build: 0,
            swap: false,
            compared: None,
        }
    }
}

/// A colour with its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub colour: Colour,
    pub build: i64,
    pub seq: u64,
}

impl Place {
    /// Whether it is the same reading, further on.
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        self.colour == other.colour && self.build == other.build && self.seq > other.seq
    }
}

/// Why a plan was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The plan does not allow it; the word says why.
    #[error("the plan says {0}")]
    Refused(String),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Before every change: the plan, held against others, and both marks by what they are now.
const HOLD: &str = "
    LET $plan = (SELECT * FROM ONLY $row FOR UPDATE);
    IF $plan IS NONE {
        CREATE $row CONTENT { reads: 'blue', stage: 'alone', build: 0, swap: false } RETURN NONE
    };
    LET $stage = $plan.stage ?? 'alone';
    LET $build = $plan.build ?? 0;
    LET $is_green = $plan.reads = 'green';
    LET $mine = IF $is_green { $green } ELSE { $blue };
    LET $other = IF $is_green { $blue } ELSE { $green };";

const REBUILD: &str = "
    IF $stage IN ['beginning', 'building'] {
        UPDATE $row SET swap = swap OR $swap RETURN NONE
    } ELSE {
        UPDATE $row SET stage = 'beginning', build = $build + 1, swap = $swap, compared = NONE RETURN NONE;
        DELETE $other RETURN NONE
    };";

const CLEARED: &str = "
    IF $stage != 'beginning' { THROW $stage };
    UPDATE $row SET stage = 'building' RETURN NONE;
    CREATE $other CONTENT { seq: 0, since: 0, build: $build } RETURN NONE;";

const COMPARED: &str = "
    IF $stage != 'building' OR $build != $of_build { THROW $stage };
    UPDATE $row SET stage = 'ready', compared = $compared, swap = swap AND $is_equal RETURN NONE;";

// The mark that is read is held too: nobody can have read what the other colour does not know yet.
// Asked again because the answer was lost, it must not change them back.
const SWAP: &str = "
    IF ($plan.reads ?? 'blue') = $to { RETURN NONE };
    IF $stage != 'ready' { THROW $stage };
    LET $at = (SELECT VALUE seq FROM ONLY $mine FOR UPDATE) ?? 0;
    LET $there = (SELECT VALUE seq FROM ONLY $other) ?? 0;
    IF $there < $at { THROW 'behind' };
    UPDATE $row SET reads = $to, swap = false RETURN NONE;";

const DROP: &str = "
    IF $stage = 'alone' { THROW $stage };
    UPDATE $row SET stage = 'dropping', swap = false, compared = NONE RETURN NONE;
    DELETE $other RETURN NONE;";

const DROPPED: &str = "
    IF $stage != 'dropping' { THROW $stage };
    UPDATE $row SET stage = 'alone' RETURN NONE;";

const OPEN: &str = "
    LET $mark = (SELECT seq, build FROM ONLY $mine);
    IF $mark IS NONE { CREATE $mine CONTENT { seq: 0, since: 0, build: $build } RETURN NONE };";

pub(super) fn row(view: &'static str) -> Key {
    Key::new("view_plan", [Part::from(view)])
}

/// A view's plan, as its readers, builders and operators change it.
#[derive(Clone)]
pub(super) struct Plans {
    pub store: Store,
    pub view: &'static str,
}

impl Plans {
    /// The plan, and the marks of both colours.
    pub async fn read(&self) -> Result<(Plan, Option<Place>, Option<Place>), StoreError> {
        let mut rows = self
            .store
            .db()
            .query(
                "RETURN {
                    plan: (SELECT reads, stage, build, swap, compared FROM ONLY $row),
                    blue: (SELECT seq, build FROM ONLY $blue),
                    green: (SELECT seq, build FROM ONLY $green)
                }",
            )
            .bind(("row", row(self.view).record()))
            .bind(("blue", Colour::Blue.mark(self.view).record()))
            .bind(("green", Colour::Green.mark(self.view).record()))
            .await?;
        let found: Option<Value> = rows.take(0)?;
        let mut found = found.unwrap_or_default();
        let plan: Option<Plan> = serde_json::from_value(found["plan"].take()).map_err(StoreError::Row)?;
        let plan = plan.unwrap_or_default();
        let place = |colour, row: &Value| {
            Some(Place {
                colour,
                build: row["build"].as_i64().unwrap_or_default(),
                seq: row["seq"].as_u64()?,
            })
        };
        let (blue, green) = (
            place(Colour::Blue, &found["blue"]),
            place(Colour::Green, &found["green"]),
        );
        Ok(match plan.reads {
            Colour::Blue => (plan, blue, green),
            Colour::Green => (plan, green, blue),
        })
    }

    /// Sees to it that the colour that people read has a mark: a view that is new begins before the
    /// first event.
    pub async fn open(&self) -> Result<(), PlanError> {
        self.change(OPEN, &[]).await
    }

    /// Has the other colour built from the first event on. If it is being built already, it goes on.
    pub async fn rebuild(&self, swap: bool) -> Result<(), PlanError> {
        self.change(REBUILD, &[("swap", swap.into())]).await
    }

    /// The other colour is empty; it may be built.
    pub async fn cleared(&self) -> Result<(), PlanError> {
        self.change(CLEARED, &[]).await
    }

    /// The other colour has caught up, and this is how it compares.
    pub async fn compared(&self, build: i64, compared: &Comparison) -> Result<(), PlanError> {
        let words = serde_json::to_value(compared).map_err(StoreError::Row)?;
        let vars = [
            ("of_build", build.into()),
            ("compared", words),
            ("is_equal", compared.is_equal().into()),
        ];
        self.change(COMPARED, &vars).await
    }

    /// From now on people read this colour.
    pub async fn swap(&self, to: Colour) -> Result<(), PlanError> {
        let to = serde_json::to_value(to).map_err(StoreError::Row)?;
        self.change(SWAP, &[("to", to)]).await
    }

    /// Has the other colour taken away.
    pub async fn drop_other(&self) -> Result<(), PlanError> {
        self.change(DROP, &[]).await
    }

    /// The other colour is empty; there is none any more.
    pub async fn dropped(&self) -> Result<(), PlanError> {
        self.change(DROPPED, &[]).await
    }

    async fn change(&self, what: &str, vars: &[(&'static str, Value)]) -> Result<(), PlanError> {
        let text = format!("{{ {HOLD} {what} RETURN NONE; }}");
        let run = || {
            let query = self
                .store
                .db()
                .query(text.clone())
                .bind(("row", row(self.view).record()))
                .bind(("blue", Colour::Blue.mark(self.view).record()))
                .bind(("green", Colour::Green.mark(self.view).record()));
            vars.iter()
                .fold(query, |query, (name, value)| query.bind((*name, value.clone())))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(()),
            Tx::Refused(why) => Err(PlanError::Refused(why)),
            other => Err(StoreError::from(other).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The database may have swapped them, and still not have said so; then it is asked again.
    #[tokio::test]
    async fn a_swap_that_is_asked_for_twice_is_one_swap() {
        let plans = Plans {
            store: Store::open("mem://", None).await.unwrap(),
            view: "book_home",
        };
        plans.open().await.unwrap();
        assert!(matches!(plans.swap(Colour::Green).await, Err(PlanError::Refused(_))));
        plans.rebuild(false).await.unwrap();
        plans.cleared().await.unwrap();
        plans.compared(1, &Comparison::default()).await.unwrap();
        for _ in 0..2 {
            plans.swap(Colour::Green).await.unwrap();
            assert_eq!(plans.read().await.unwrap().0.reads, Colour::Green);
        }
        plans.swap(Colour::Blue).await.unwrap();
        assert_eq!(plans.read().await.unwrap().0.reads, Colour::Blue);
    }
}
