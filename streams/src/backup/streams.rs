//! nats-server's own snapshots, asked for and given back. The client library has no calls for them.
//!
//! A snapshot is a compressed archive that the server sends in pieces, each of which waits for an answer, so
//! that a slow disk here slows the server down and nothing else. An empty piece is the end; if it has a status
//! that is not 204, the server gave up. Consumers are not in it: see [the order of reading](super).

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::files::Recorder;
use super::manifest::{Standing, StreamPart};
use super::{BackupError, Say, Word};
use crate::nats::Nats;
use crate::topology::{COMMANDS, DEAD, EVENTS, JOBS, OBJECTS, SCHEDULES};

/// The server gives up a snapshot that nobody takes after ten seconds; so long we wait for it.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the server may take to unpack a stream.
const UNPACKING: Duration = Duration::from_secs(900);
/// Well below what any server takes in one message.
const PIECE: usize = 128 << 10;

/// Every stream, in the order in which it is to be read.
pub(super) fn names() -> Vec<String> {
    let streams = [SCHEDULES, DEAD, EVENTS, JOBS, COMMANDS].map(str::to_owned);
    streams.into_iter().chain([OBJECTS.to_owned()]).collect()
}

/// Asks the server, and takes an answer with an error in it for one.
async fn ask(nats: &Nats, subject: &str, question: &Value, patience: Duration) -> Result<Value, BackupError> {
    let request = async_nats::Request::new()
        .payload(question.to_string().into())
        .timeout(Some(patience));
    let answer = nats.client().send_request(subject.to_owned(), request).await;
    let answer = answer.map_err(|error| BackupError::stream(subject, &error))?;
    read(subject, &answer.payload)
}

fn read(subject: &str, payload: &[u8]) -> Result<Value, BackupError> {
    let answer: Value = serde_json::from_slice(payload).map_err(|error| BackupError::stream(subject, &error))?;
    match answer["error"]["description"].as_str() {
        Some(why) => Err(BackupError::stream(subject, &why)),
        None => Ok(answer),
    }
}

/// Where every lane of a stream stands. Views keep their own mark, in the database, and only need to be heard.
pub(super) async fn standing(nats: &Nats, stream: &str) -> Result<Vec<Standing>, BackupError> {
    let subject = format!("$JS.API.CONSUMER.LIST.{stream}");
    let (mut standing, mut seen) = (Vec::new(), 0);
    loop {
        let page = ask(nats, &subject, &json!({ "offset": seen }), SILENCE).await?;
        if page["missing"].as_array().is_some_and(|missing| !missing.is_empty()) {
            let why = format!("nobody knows where these stand: {}", page["missing"]);
            return Err(BackupError::stream(subject, &why));
        }
        let consumers = page["consumers"].as_array().map(Vec::as_slice).unwrap_or_default();
        seen += consumers.len();
        standing.extend(consumers.iter().filter(|consumer| stays(consumer)).map(|consumer| {
            let is_lane = consumer["config"]["ack_policy"] == "explicit";
            let settled = consumer["ack_floor"]["stream_seq"].as_u64().filter(|_| is_lane);
            Standing {
                config: consumer["config"].clone(),
                settled: settled.unwrap_or_default(),
            }
        }));
        if consumers.is_empty() || page["total"].as_u64() <= Some(seen as u64) {
            return Ok(standing);
        }
    }
}

/// Whether a consumer is there for good, and not for as long as somebody reads through it.
fn stays(consumer: &Value) -> bool {
    let config = &consumer["config"];
    config["durable_name"].is_string() && config["inactive_threshold"].as_u64().unwrap_or_default() == 0
}

/// Writes a stream into a file.
pub(super) async fn take(
    nats: &Nats,
    stream: &str,
    consumers: Vec<Standing>,
    folder: &Path,
    say: Say<'_>,
) -> Result<StreamPart, BackupError> {
    let failed = |why: &dyn std::fmt::Display| BackupError::stream(format!("read stream {stream}"), why);
    let mut file = Recorder::create(&folder.join(format!("{stream}.tar.s2")), stream, say).await?;
    let inbox = nats.client().new_inbox();
    let mut pieces = nats
        .client()
        .subscribe(inbox.clone())
        .await
        .map_err(|error| failed(&error))?;
    let question = json!({ "deliver_subject": inbox, "no_consumers": true, "chunk_size": PIECE });
    let told = ask(nats, &format!("$JS.API.STREAM.SNAPSHOT.{stream}"), &question, SILENCE).await?;
    loop {
        let piece = tokio::time::timeout(SILENCE, pieces.next()).await;
        let Ok(Some(piece)) = piece else {
            return Err(failed(&"the server fell silent"));
        };
        if piece.payload.is_empty() {
            match piece.status.map(|status| status.as_u16()) {
                None | Some(204) => break,
                Some(status) => {
                    let why = piece.description.unwrap_or_default();
                    return Err(failed(&format!("{status} {why}")));
                }
            }
        }
        file.write(&piece.payload).await?;
        if let Some(reply) = piece.reply {
            let answered = nats.client().publish(reply, Default::default()).await;
            answered.map_err(|error| failed(&error))?;
        }
    }
    Ok(StreamPart {
        name: stream.to_owned(),
        file: file.finish().await?,
        last_sequence: told["state"]["last_seq"].as_u64().unwrap_or_default(),
        messages: told["state"]["messages"].as_u64().unwrap_or_default(),
        config: told["config"].clone(),
        state: told["state"].clone(),
        consumers,
    })
}

/// Whether a stream has never held anything; one that is not there has not.
pub(super) async fn is_unused(nats: &Nats, stream: &str) -> Result<bool, BackupError> {
    Ok(last_sequence(nats, stream).await?.is_none_or(|last| last == 0))
}

async fn last_sequence(nats: &Nats, stream: &str) -> Result<Option<u64>, BackupError> {
    match nats.jetstream().get_stream(stream).await {
        Ok(found) => Ok(Some(found.cached_info().state.last_sequence)),
        Err(error) if crate::topology::is_missing_stream(&error) => Ok(None),
        Err(error) => Err(BackupError::stream(format!("look at stream {stream}"), &error)),
    }
}

/// Makes a stream of its file, and its consumers, each to go on where it stood. One that is there already and
/// never held anything gives way.
pub(super) async fn put_back(
    nats: &Nats,
    part: &StreamPart,
    replicas: usize,
    folder: &Path,
    say: Say<'_>,
) -> Result<(), BackupError> {
    let stream = &part.name;
    let doing = || format!("restore stream {stream}");
    if last_sequence(nats, stream).await? == Some(0) {
        ask(nats, &format!("$JS.API.STREAM.DELETE.{stream}"), &json!({}), SILENCE).await?;
    }
    let mut config = part.config.clone();
    config["num_replicas"] = replicas.into();
    let question = json!({ "config": config, "state": part.state });
    let told = ask(nats, &format!("$JS.API.STREAM.RESTORE.{stream}"), &question, SILENCE).await?;
    let Some(to) = told["deliver_subject"].as_str() else {
        return Err(BackupError::stream(
            doing(),
            &"the server does not say where to send it",
        ));
    };
    let send = async |piece: Vec<u8>, patience| {
        let request = async_nats::Request::new().payload(piece.into()).timeout(Some(patience));
        let sent = nats.client().send_request(to.to_owned(), request).await;
        sent.map_err(|error| BackupError::stream(doing(), &error))
    };
    let path = folder.join(&part.file.name);
    let mut file = File::open(&path).await.map_err(BackupError::file(&path))?;
    let mut bytes = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let mut rest = (&mut file).take(PIECE as u64);
        let length = rest.read_to_end(&mut piece).await.map_err(BackupError::file(&path))?;
        if length == 0 {
            break;
        }
        bytes += length as u64;
        let answer = send(piece, SILENCE).await?;
        if !answer.payload.is_empty() {
            read(&doing(), &answer.payload)?;
        }
        say(Word {
            part: stream.clone(),
            bytes,
        });
    }
    let made = read(&doing(), &send(Vec::new(), UNPACKING).await?.payload)?;
    let last = made["state"]["last_seq"].as_u64().unwrap_or_default();
    if last < part.last_sequence {
        let why = format!("it ends at {last} instead of {}", part.last_sequence);
        return Err(BackupError::stream(doing(), &why));
    }
    for consumer in &part.consumers {
        go_on(nats, stream, consumer, last).await?;
    }
    Ok(())
}

/// Makes a consumer that goes on behind what was settled.
async fn go_on(nats: &Nats, stream: &str, consumer: &Standing, last: u64) -> Result<(), BackupError> {
    let mut config = consumer.config.clone();
    let name = config["durable_name"].as_str().unwrap_or_default().to_owned();
    // As many copies as the stream has.
    config["num_replicas"] = 0.into();
    if consumer.settled > 0 {
        config["deliver_policy"] = "by_start_sequence".into();
        config["opt_start_seq"] = (consumer.settled.min(last) + 1).into();
    }
    let question = json!({ "stream_name": stream, "config": config });
    let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}");
    ask(nats, &subject, &question, SILENCE).await?;
    Ok(())
}
