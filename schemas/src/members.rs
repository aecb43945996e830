//! Members: who somebody is, and what they may do.
//!
//! An account is found by its username and holds credentials and a role; everybody else knows the
//! person by their member id alone. The password never travels: the door hashes it and seals the
//! hash with the installation's key, and only that sealed box stands in the command.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::MemberId;
use crate::message::{Contract, message};
use crate::refusal::refusals;

/// URL, subject, table, module and metric label.
pub const CONTEXT: &str = "members";

/// The contract of members.
#[derive(Debug)]
pub struct Members;

impl Contract for Members {
    const CONTEXT: &'static str = CONTEXT;
    type Command = Command;
    type Event = Event;
    type Text = Text;
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys, reads and reviews.
    Reader,
    /// Also writes and sells books.
    Author,
    /// Also withdraws books of others.
    Admin,
}

/// What members can be asked. The aggregate is the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Command {
    /// Open an account under a username that nobody has yet.
    RegisterAccount {
        /// The id that everybody else will know the person by.
        member: MemberId,
        /// As typed.
        #[schemars(extend("x-words" = true))]
        username: String,
        /// The name shown to others.
        #[schemars(extend("x-words" = true))]
        nickname: String,
        /// What the person may do.
        role: Role,
        /// The password's argon2id hash, sealed with the installation's key, base64.
        #[schemars(extend("x-words" = true))]
        sealed_hash: String,
    },
}

/// What happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Event {
    /// Somebody joined.
    AccountRegistered {
        /// The new member.
        member: MemberId,
        /// What they may do.
        role: Role,
    },
}

message!(Command, Event);

/// The words that stay with members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Text {
    /// As typed at sign-up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The name shown to others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nickname: String,
    /// The sealed password hash.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sealed_hash: String,
}

refusals! {
    UsernameTaken = "MEMBERS_USERNAME_TAKEN", 409,
        "Somebody already has this username; choose another one.";
}

/// The owner's row that gives the person behind a member id, `members_profile:[member]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The account with the credentials.
    pub account: crate::ids::AccountId,
    /// As typed at sign-up; shown to the person alone.
    pub username: String,
    /// The name shown to others.
    pub nickname: String,
    /// What they may do.
    pub role: Role,
}

/// The account's state row as the door reads it to check a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The person.
    pub member: MemberId,
    /// As typed at sign-up.
    pub username: String,
    /// The name shown to others.
    pub nickname: String,
    /// What they may do.
    pub role: Role,
    /// The sealed password hash.
    pub sealed_hash: String,
}

/// How long a refresh token is good, in seconds.
pub const REFRESH_SECONDS: i64 = 14 * 24 * 3600;

/// One login and the refresh tokens that descend from it, `members_refresh:[family]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Who logged in.
    pub member: MemberId,
    /// The one token that is good now; none once the family has ended.
    pub current: Option<Uuid>,
}

impl Login {
    /// Whether none of its tokens can be good any more at `now`, in seconds since 1970. The ids tell:
    /// family and tokens are minted with the time in them.
    #[must_use]
    pub fn is_over(&self, family: Uuid, now: i64) -> bool {
        match self.current {
            Some(current) => minted_at(current).max(minted_at(family)) + REFRESH_SECONDS < now,
            None => true,
        }
    }
}

/// When an id was minted, in seconds since 1970; 0 if it does not say.
#[must_use]
pub fn minted_at(id: Uuid) -> i64 {
    id.get_timestamp().map_or(0, |at| at.to_unix().0.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minted(second: u64) -> Uuid {
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, second, 0))
    }

    #[test]
    fn a_login_is_over_when_its_newest_token_is_and_at_once_when_it_was_ended() {
        let (family, newest) = (minted(1_000_000), minted(2_000_000));
        let login = |current| Login {
            member: MemberId(Uuid::nil()),
            current,
        };
        assert!(!login(Some(newest)).is_over(family, 2_000_000 + REFRESH_SECONDS));
        assert!(login(Some(newest)).is_over(family, 2_000_001 + REFRESH_SECONDS));
        assert!(login(None).is_over(family, 1_000_000));
    }
}
