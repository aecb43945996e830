//! What became of a command. The worker answers with it, the inbox row keeps it, and a caller who
//! asks again tomorrow gets the same one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The last word about a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It took effect (or had already: then nothing new happened and the version is the old one).
    Done {
        /// The aggregate it was about.
        subject: Uuid,
        /// That aggregate's version after the command.
        version: u64,
        /// The EVENTS sequence of its last event: the token to read one's own writes with. Absent
        /// while the event is not published yet, and where there was none to publish.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// It was understood and turned down.
    Refused {
        /// The stable code, see `docs/problems.md`.
        code: String,
        /// The HTTP status a caller gets.
        http: u16,
        /// The sentence for a person.
        detail: String,
    },
}

impl Outcome {
    /// The outcome of a refusal.
    pub fn refused(refusal: &impl crate::refusal::Refusal) -> Self {
        Self::Refused {
            code: refusal.code().to_owned(),
            http: refusal.http(),
            detail: refusal.sentence().to_owned(),
        }
    }
}
