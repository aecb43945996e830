//! What operators may ask of a process with workers: every question with who answers it, in one list.
//! The command line (`src/`) and the door (`gateway/src/routes/ops/`) only ask.

mod budgets;
mod letters;
mod watching;

use maru_streams::desk::Desk;
use maru_streams::{backup, views};

use crate::heal;
use crate::house::House;

impl House {
    /// The desk of this house.
    #[must_use]
    pub fn desk(&self) -> Desk {
        let desk = watching::answers(Desk::default(), self);
        let desk = views::answering(desk, &self.parts.nats, &self.parts.store, &self.views);
        let desk = budgets::answers(desk, self.budgets());
        let desk = letters::answers(desk, self.letters(), self.lanes());
        let desk = self.clockwork().answers(desk);
        let desk = backup::answering(desk, &self.parts.store, self.place.data.clone());
        desk.answers(
            "heal.look",
            heal::look(self.parts.nats.clone(), self.parts.store.clone()),
        )
    }
}
