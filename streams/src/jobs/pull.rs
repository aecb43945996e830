//! Pulling: a lane asks each of its consumers for as many messages as it may hold, which are its free slots and seldom
//! more, because what it holds nobody else can run.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::lane::{LINGER, Shared};
use super::session::{Next, Session, SessionError};
use super::{back, before, ear};
use crate::topology::Consumer;

/// Keeps pulling from one source, in one session after the other, until the lane is told to stop.
pub(super) async fn pull(shared: Arc<Shared>, source: usize) {
    let mut trouble = 0_u32;
    while !shared.closing.is_cancelled() {
        match pull_session(&shared, source, &mut trouble).await {
            Ok(()) => return,
            Err(error) => {
                trouble = if matches!(error, SessionError::Reconnected) {
                    0
                } else {
                    trouble + 1
                };
                metrics::counter!("maru_lane_sessions_lost_total", "lane" => shared.name.clone()).increment(1);
                if trouble > 2 {
                    tracing::warn!(lane = %shared.name, %error, "cannot pull");
                } else {
                    tracing::debug!(lane = %shared.name, %error, "pulling anew");
                }
                if matches!(error, SessionError::Gone(_))
                    && let Err(error) = ear::make_anew(&shared, source, false).await
                {
                    tracing::debug!(lane = %shared.name, %error, "whether the consumer is there is not known");
                }
                let wait = Duration::from_millis(50).saturating_mul(1 << trouble.min(7));
                let _ = shared.closing.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
}

/// What a session leaves behind, whyever it ended, is taken: the server would wait for us with that as long as it has
/// patience. A session that ends because the connection was made again may have asked on the new one already.
async fn pull_session(shared: &Arc<Shared>, source: usize, trouble: &mut u32) -> Result<(), SessionError> {
    let Consumer { stream, name, .. } = &shared.sources[source];
    let mut session = Session::open(&shared.held.nats, stream, name, None).await?;
    let ended = pull_on(shared, source, &mut session, trouble).await;
    if ended.is_err() {
        before::doubt(shared, source);
    }
    let until = Instant::now() + LINGER;
    while session.outstanding() > 0
        && let Ok(Ok(next)) = tokio::time::timeout_at(until, session.next()).await
    {
        if let Next::Message(message) = next {
            take(shared, *message, source);
        }
    }
    for message in session.leave().await {
        take(shared, message, source);
    }
    ended
}

/// Sets `trouble` back as soon as anything is heard.
async fn pull_on(
    shared: &Arc<Shared>,
    source: usize,
    session: &mut Session,
    trouble: &mut u32,
) -> Result<(), SessionError> {
    let held = &shared.held;
    match shared.closing.run_until_cancelled(before::begin(shared, source)).await {
        Some(begun) => begun?,
        None => return Ok(()),
    }
    // This one asks anew already.
    let _ = shared.ask_anew[source].notified().now_or_never();
    loop {
        let wanted = held.to_ask_for(source, session.outstanding());
        if wanted > 0 {
            session.request(wanted).await?;
            held.to_ask_for(source, session.outstanding());
        }
        tokio::select! {
            next = session.next() => {
                let mut next = Some(next);
                // What came with it is taken in before anything else is looked at.
                while let Some(came) = next {
                    if let Next::Message(message) = came? {
                        take(shared, *message, source);
                    }
                    next = session.next().now_or_never();
                }
                *trouble = 0;
            }
            () = held.freed(source) => {}
            () = held.rested() => {}
            () = shared.ask_anew[source].notified() => return Err(SessionError::Gone("asking anew".to_owned())),
            () = shared.closing.cancelled() => return Ok(()),
        }
    }
}

fn take(shared: &Arc<Shared>, message: async_nats::Message, source: usize) {
    let message = Message {
        message,
        context: shared.held.nats.jetstream().clone(),
    };
    let arrival = match message.info() {
        Ok(info) => {
            before::hear(shared, source, info.consumer_sequence);
            Arrival::from(&info)
        }
        Err(error) => {
            tracing::error!(lane = %shared.name, %error, "a message without a way to settle it");
            return;
        }
    };
    if let Some(too_much) = shared.held.admit(message.message, arrival, source) {
        tokio::spawn(back::move_back(Arc::clone(shared), too_much));
    }
}
