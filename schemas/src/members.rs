//! Members: who somebody is, and what they may do.
//!
//! An account is found by its username and holds credentials and a role; everybody else knows the
//! person by their member id alone. The password never travels: the door hashes it and seals the
//! hash with the installation's key, and only that sealed box stands in the command.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};
use utoipa::ToSchema;

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
        username: String,
        /// The name shown to others.
        nickname: String,
        /// What the person may do.
        role: Role,
        /// The password's argon2id hash, sealed with the installation's key, base64.
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
