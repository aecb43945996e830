//! The least that a consumer must do which loses nothing: a floor to measure lanes against.

use futures_util::StreamExt;
use tokio::task::JoinSet;

use crate::nats::Nats;
use crate::topology::Consumer;

/// Pulls so many messages and has each acknowledgement confirmed, with the client alone. As in a lane, a slot is
/// free again when its message's work, which is none, is done, and is not held for the confirmation.
pub async fn raw_loop(nats: &Nats, consumer: &Consumer, slots: usize, messages: usize) {
    let client = nats.client();
    let inbox = client.new_inbox();
    let mut incoming = client.subscribe(inbox.clone()).await.expect("a subscription");
    let api = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", consumer.stream, consumer.name);
    let (mut asked, mut settling) = (0, JoinSet::new());
    for came in 0..messages {
        let free = slots - (asked - came);
        if free == slots || free >= slots.div_ceil(4) {
            let request = format!("{{\"batch\":{free},\"expires\":30000000000}}");
            let sent = client.publish_with_reply(api.clone(), inbox.clone(), request.into());
            sent.await.expect("sent");
            asked += free;
        }
        let message = incoming.next().await.expect("a message");
        assert!(message.status.is_none(), "the server ended the pull: {message:?}");
        let (client, reply) = (client.clone(), message.reply.expect("a way to settle it"));
        settling.spawn(async move { client.request(reply, "+ACK".into()).await });
        // As they come: a raw loop that kept all answers would be slowed down by its own memory.
        while let Some(settled) = settling.try_join_next() {
            settled.expect("no panic").expect("confirmed");
        }
    }
    while let Some(settled) = settling.join_next().await {
        settled.expect("no panic").expect("confirmed");
    }
}
