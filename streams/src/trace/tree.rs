//! From messages to a tree: each stands under the message that caused it.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{Fate, Node};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An intention.
    Command,
    /// A fact.
    Event,
    /// An effect to perform.
    Job,
}

/// A message of the tree, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What it is.
    pub what: What,
    /// Its id.
    pub id: Uuid,
    /// The context it belongs to; `job` for a job.
    pub room: String,
    /// Its kind: `create_book`.
    pub kind: String,
    /// What it is about.
    pub about: Uuid,
    /// Who caused it.
    pub actor: String,
    /// For an event: the aggregate's version with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Its sequence in its stream; absent for an event that is not published yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was stored.
    pub stored: Timestamp,
    #[serde(skip)]
    pub(super) correlation: Uuid,
    #[serde(skip)]
    pub(super) causation: Option<Uuid>,
}

/// The first message with all that followed from it. Each message stands there once.
pub(super) fn grow(root: Message, messages: Vec<Message>, fates: &mut HashMap<Uuid, Fate>) -> Node {
    let began = root.stored;
    let mut caused: HashMap<Uuid, Vec<Message>> = HashMap::new();
    for message in messages {
        if let Some(cause) = message.causation.filter(|_| message.id != root.id) {
            caused.entry(cause).or_default().push(message);
        }
    }
    for messages in caused.values_mut() {
        messages.sort_by_key(|one| (one.stored, one.seq, one.id));
        messages.dedup_by_key(|one| one.id);
    }
    node(root, began, &mut caused, fates)
}

fn node(
    message: Message,
    began: Timestamp,
    caused: &mut HashMap<Uuid, Vec<Message>>,
    fates: &mut HashMap<Uuid, Fate>,
) -> Node {
    // Taken out, so that even messages that claim to have caused each other come to an end.
    let next = caused.remove(&message.id).unwrap_or_default();
    Node {
        after_ms: message.stored.duration_since(began).as_secs_f64() * 1000.0,
        fate: fates.remove(&message.id).unwrap_or_default(),
        next: next.into_iter().map(|one| node(one, began, caused, fates)).collect(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(id: u128, cause: Option<u128>) -> Message {
        Message {
            what: What::Command,
            id: Uuid::from_u128(id),
            room: "books".into(),
            kind: "create_book".into(),
            about: Uuid::nil(),
            actor: "system".into(),
            version: None,
            seq: Some(u64::try_from(id).unwrap()),
            stored: Timestamp::from_second(i64::try_from(id).unwrap()).unwrap(),
            correlation: Uuid::nil(),
            causation: cause.map(Uuid::from_u128),
        }
    }

    fn ids(node: &Node) -> Vec<u128> {
        let own = node.message.id.as_u128();
        std::iter::once(own).chain(node.next.iter().flat_map(ids)).collect()
    }

    proptest! {
        #[test]
        fn whatever_follows_from_the_first_message_stands_there_once(causes in proptest::collection::vec(0_u128..40, 0..40)) {
            // Each message is caused by any other one, so that there are strangers and circles too.
            let messages: Vec<_> = (1_u128..).zip(&causes).map(|(id, cause)| message(id, Some(*cause))).collect();
            let mut reached = std::collections::BTreeSet::from([0]);
            while let Some(next) = messages.iter().find(|one| {
                reached.contains(&one.causation.unwrap().as_u128()) && !reached.contains(&one.id.as_u128())
            }) {
                reached.insert(next.id.as_u128());
            }
            let mut told = ids(&grow(message(0, None), messages, &mut HashMap::new()));
            told.sort_unstable();
            prop_assert_eq!(told, reached.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn consequences_stand_in_the_order_in_which_they_came() {
        let messages = vec![message(3, Some(1)), message(2, Some(1)), message(4, Some(2))];
        let tree = grow(message(1, None), messages, &mut HashMap::new());
        assert_eq!(ids(&tree), [1, 2, 4, 3]);
        assert_eq!(tree.next[1].after_ms, 2000.0);
    }
}
