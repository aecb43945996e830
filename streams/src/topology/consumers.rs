//! One consumer: looked at, made, made anew, taken away.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};

use super::{Consumer, TopologyError, config, failed};
use crate::nats::Nats;

/// How long a consumer that comes and goes outlives its last reader.
const LINGER: Duration = Duration::from_secs(10 * 60);

/// Makes a consumer that is there only while somebody reads through it. It is not part of the plan: as
/// one of those, it would be said to have everything pending whenever nobody needs it.
pub(crate) async fn summon(nats: &Nats, consumer: &Consumer) -> Result<(), TopologyError> {
    let config = pull::Config {
        inactive_threshold: LINGER,
        ..config(consumer)
    };
    let made = nats
        .jetstream()
        .create_consumer_on_stream(config, consumer.stream)
        .await;
    made.map_err(|error| failed(format!("make consumer {}", consumer.name))(&error))?;
    Ok(())
}

/// Makes a consumer of the plan that somebody deleted, for a reader that keeps a mark of its own and sets it to that.
pub(crate) async fn provide(nats: &Nats, consumer: &Consumer) -> Result<(), TopologyError> {
    let js = nats.jetstream();
    let made = js.create_consumer_on_stream(config(consumer), consumer.stream).await;
    made.map_err(|error| failed(format!("make consumer {}", consumer.name))(&error))?;
    Ok(())
}

/// Takes a consumer away.
///
/// # Errors
/// When the server cannot be asked.
pub async fn dismiss(nats: &Nats, consumer: &Consumer) -> Result<(), TopologyError> {
    let deleted = nats
        .jetstream()
        .delete_consumer_from_stream(&consumer.name, consumer.stream)
        .await;
    match deleted {
        Ok(_) => Ok(()),
        Err(error) if error.to_string().contains("not found") => Ok(()),
        Err(error) => Err(failed(format!("delete consumer {}", consumer.name))(&error)),
    }
}

/// What the server knows of a consumer.
///
/// # Errors
/// When the server cannot be asked, or there is no such consumer.
pub async fn consumer_info(
    nats: &Nats,
    stream: &str,
    consumer: &str,
) -> Result<jetstream::consumer::Info, TopologyError> {
    let doing = || format!("look at consumer {stream}/{consumer}");
    // The client would wait for a connection as long as for an answer.
    if !nats.is_connected() {
        return Err(TopologyError::new(doing(), &"nats-server is away"));
    }
    let on = nats
        .jetstream()
        .get_stream_no_info(stream)
        .await
        .map_err(|error| failed(doing())(&error))?;
    on.consumer_info(consumer).await.map_err(|error| TopologyError {
        is_missing: error.kind() == jetstream::context::ConsumerInfoErrorKind::NotFound,
        ..failed(doing())(&error)
    })
}

/// Makes a settling consumer that is not there any more, to begin at `from`.
///
/// One that was deleted a moment ago may still be writing down where it stood, and nats-server 2.15.1 then takes that for
/// the new one's: what the old one had given out would wait for [`ACK_WAIT`]. Such a one says that it has delivered, and
/// not when; it is set back.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn make_anew(nats: &Nats, consumer: &Consumer, from: u64) -> Result<(), TopologyError> {
    let doing = format!("make consumer {}/{} anew", consumer.stream, consumer.name);
    let js = nats.jetstream();
    let stream = js
        .get_stream(consumer.stream)
        .await
        .map_err(|error| failed(&doing)(&error))?;
    // A stream that was lost too begins again; nothing in it can be settled.
    let is_there = from <= stream.cached_info().state.last_sequence + 1;
    let start_sequence = if is_there { from } else { 1 };
    let wanted = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
        ..config(consumer)
    };
    let made = js
        .create_consumer_on_stream(wanted, consumer.stream)
        .await
        .map_err(|error| failed(&doing)(&error))?;
    let delivered = &made.cached_info().delivered;
    if delivered.consumer_sequence > 0 && delivered.last_active.is_none() {
        tracing::info!(
            consumer = consumer.name,
            "it begins where the one before it was; set back"
        );
        stream
            .reset_consumer(&consumer.name, Some(start_sequence))
            .await
            .map_err(|error| failed(&doing)(&error))?;
    }
    Ok(())
}
