//! A contract: what one context accepts, what it says happened, and what it keeps to itself.
//!
//! A message on the wire is `{"kind": "create_book", "data": {…}}`. Its kind is also in its subject
//! and in the `ce-type` header, so that one can route, count and grep without reading bodies.
//!
//! An event has two forms. The public one travels in EVENTS and carries ids, enums, versions and
//! amounts only; the whole one, [`Told`], adds the words people wrote and stays in the owner's log.
//! They are two fields, not two encodings, so a text cannot slip out by a forgotten conversion.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// One of a context's commands or events: a serialisable enum whose variants have names.
pub trait Message: Serialize + DeserializeOwned + JsonSchema + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The names of all variants, in snake case, as they stand in subjects.
    const KINDS: &'static [&'static str];

    /// The name of this variant.
    fn kind(&self) -> &'static str;
}

/// Derives [`Message`] from strum's `VariantNames` and `IntoStaticStr`.
macro_rules! message {
    ($($name:ty),+) => {$(
        impl $crate::message::Message for $name {
            const KINDS: &'static [&'static str] = <$name as strum::VariantNames>::VARIANTS;

            fn kind(&self) -> &'static str {
                self.into()
            }
        }
    )+};
}
pub(crate) use message;

/// What a context promises to everybody else.
pub trait Contract: Send + Sync + 'static {
    /// The one word: URL, subject, table, module, metric.
    const CONTEXT: &'static str;
    /// What it can be asked.
    type Command: Message;
    /// What it says happened.
    type Event: Message;
    /// The words that belong to an event and never leave the owner's tables.
    type Text: Serialize + DeserializeOwned + JsonSchema + Default + PartialEq + Clone + std::fmt::Debug + Send + Sync;
}

/// An event in its whole form, as the owner's log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told<E, T> {
    /// The public form.
    pub event: E,
    /// The words beside it; empty where there are none.
    #[serde(default)]
    pub text: T,
}

impl<E, T: Default> Told<E, T> {
    /// An event that needs no words.
    pub fn plain(event: E) -> Self {
        Self {
            event,
            text: T::default(),
        }
    }

    /// An event and the words that stay at home.
    pub const fn with(event: E, text: T) -> Self {
        Self { event, text }
    }
}
