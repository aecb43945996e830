//! The tables, as numbered migrations. A migration that ran anywhere is never edited; the next one
//! mends it.

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Runs once, in this order.
    pub number: i64,
    /// What it is about.
    pub name: &'static str,
    /// SurrealQL; every statement can run twice.
    pub text: &'static str,
}

/// Every migration in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "machinery",
        text: include_str!("../surreal/001_machinery.surql"),
    },
    Migration {
        number: 2,
        name: "members",
        text: include_str!("../surreal/002_members.surql"),
    },
    Migration {
        number: 3,
        name: "books",
        text: include_str!("../surreal/003_books.surql"),
    },
    Migration {
        number: 4,
        name: "payments",
        text: include_str!("../surreal/004_payments.surql"),
    },
    Migration {
        number: 5,
        name: "purchases",
        text: include_str!("../surreal/005_purchases.surql"),
    },
    Migration {
        number: 6,
        name: "reviews",
        text: include_str!("../surreal/006_reviews.surql"),
    },
    Migration {
        number: 7,
        name: "views",
        text: include_str!("../surreal/007_views.surql"),
    },
    Migration {
        number: 8,
        name: "letters",
        text: include_str!("../surreal/008_letters.surql"),
    },
    Migration {
        number: 9,
        name: "heal",
        text: include_str!("../surreal/009_heal.surql"),
    },
    Migration {
        number: 10,
        name: "view_colours",
        text: include_str!("../surreal/010_view_colours.surql"),
    },
    Migration {
        number: 11,
        name: "clockwork",
        text: include_str!("../surreal/011_clockwork.surql"),
    },
    Migration {
        number: 12,
        name: "engine",
        text: include_str!("../surreal/012_engine.surql"),
    },
    Migration {
        number: 13,
        name: "partial",
        text: include_str!("../surreal/013_partial.surql"),
    },
    Migration {
        number: 14,
        name: "batches",
        text: include_str!("../surreal/014_batches.surql"),
    },
    Migration {
        number: 15,
        name: "rooms",
        text: include_str!("../surreal/015_rooms.surql"),
    },
    Migration {
        number: 16,
        name: "due",
        text: include_str!("../surreal/016_due.surql"),
    },
    Migration {
        number: 17,
        name: "rows",
        text: include_str!("../surreal/017_rows.surql"),
    },
];
