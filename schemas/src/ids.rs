//! Names of things. An id says what it names by its type, so that a book is never handed over where
//! a member is meant. Some ids are derived: the same cause always gives the same id, which is how
//! "once" is kept without asking anybody.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The room that derived ids of Maru live in, so that they collide with nobody else's.
const MARU: Uuid = Uuid::from_u128(0x6d61_7275_0000_5000_8000_6d61_7275_0001);

/// The id that follows from `cause` and a name: the same pair gives the same id, for ever.
#[must_use]
pub fn derive(cause: Uuid, name: &str) -> Uuid {
    Uuid::new_v5(&cause, name.as_bytes())
}

/// The id that follows from a name alone, in its own room.
#[must_use]
pub fn named(room: &str, name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&MARU, room.as_bytes()), name.as_bytes())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
            JsonSchema, ToSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )+};
}

ids! {
    /// Credentials and roles of a person; derived from the username, which makes usernames unique.
    AccountId,
    /// A person as every other context knows them.
    MemberId,
    /// A picture book.
    BookId,
    /// A generated image in our own object store.
    ImageId,
    /// One unit of background work.
    JobId,
    /// One charge and what became of it.
    PaymentId,
    /// What ties one member to one book they bought; derived from the pair, which makes it unique.
    PurchaseId,
    /// What one member says of one book; derived from the pair, which makes it unique.
    ReviewId,
}

impl AccountId {
    /// The account of a username. Case and surrounding space make no difference, so that `Mina`
    /// cannot sign up beside `mina`.
    #[must_use]
    pub fn of_username(username: &str) -> Self {
        Self(named("account", &username.trim().to_lowercase()))
    }
}

impl PurchaseId {
    /// The one purchase a member can hold of a book.
    #[must_use]
    pub fn of(member: MemberId, book: BookId) -> Self {
        Self(named("purchase", &format!("{member}/{book}")))
    }
}

impl ReviewId {
    /// The one review a member can have written of a book.
    #[must_use]
    pub fn of(member: MemberId, book: BookId) -> Self {
        Self(named("review", &format!("{member}/{book}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cause_and_name_give_the_same_id() {
        let cause = Uuid::from_u128(7);
        assert_eq!(derive(cause, "charge"), derive(cause, "charge"));
        assert_ne!(derive(cause, "charge"), derive(cause, "refund"));
    }

    #[test]
    fn usernames_differ_by_more_than_case() {
        assert_eq!(AccountId::of_username(" Mina "), AccountId::of_username("mina"));
        assert_ne!(AccountId::of_username("mina"), AccountId::of_username("minu"));
    }
}
