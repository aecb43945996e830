//! How a server differs from the house, and making it fit. Nothing is ever deleted here, and no copy of a stream is taken
//! away either: a command that was called without the number of copies must not leave one of three.

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, object_store};

use super::{
    Consumer, IMAGES, OBJECTS, Size, TopologyError, config, consumer_info, failed, is_missing_stream, streams,
};
use crate::nats::Nats;

/// One difference between the server and the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A stream that is not there yet.
    AddStream(String),
    /// A stream whose settings differ, with the differences.
    UpdateStream(String, Vec<String>),
    /// The object store is not there yet.
    AddObjects(String),
    /// The object store's settings differ, with the differences.
    UpdateObjects(String, Vec<String>),
    /// A consumer that is not there yet.
    AddConsumer(&'static str, String),
    /// A consumer whose settings differ, with the differences.
    UpdateConsumer(&'static str, String, Vec<String>),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AddStream(name) => write!(f, "+ stream {name}"),
            Self::UpdateStream(name, what) => write!(f, "~ stream {name}: {}", what.join(", ")),
            Self::AddObjects(name) => write!(f, "+ object store {name}"),
            Self::UpdateObjects(name, what) => write!(f, "~ object store {name}: {}", what.join(", ")),
            Self::AddConsumer(stream, name) => write!(f, "+ consumer {stream}/{name}"),
            Self::UpdateConsumer(stream, name, what) => {
                write!(f, "~ consumer {stream}/{name}: {}", what.join(", "))
            }
        }
    }
}

/// A stream's settings on the server; none if there is no such stream.
async fn stream_as_it_is(nats: &Nats, name: &str) -> Result<Option<Config>, TopologyError> {
    match nats.jetstream().get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) if is_missing_stream(&error) => Ok(None),
        Err(error) => Err(failed(format!("read stream {name}"))(&error)),
    }
}

/// The wanted settings, with as many copies as there are if that is more.
fn keeping_copies(wanted: Config, is: &Config) -> Config {
    Config {
        num_replicas: wanted.num_replicas.max(is.num_replicas),
        ..wanted
    }
}

/// The stream that the object store lies in, as it is, but of the wanted size.
fn objects(is: &Config, size: Size) -> Config {
    Config {
        max_bytes: size.max_bytes,
        num_replicas: size.replicas,
        ..is.clone()
    }
}

/// How the server differs from the house. Changes nothing.
///
/// # Errors
/// When the server cannot be asked.
pub async fn plan(nats: &Nats, consumers: &[Consumer], size: Size) -> Result<Vec<Change>, TopologyError> {
    let js = nats.jetstream();
    let mut changes = Vec::new();
    for wanted in streams(size) {
        match stream_as_it_is(nats, &wanted.name).await? {
            Some(is) => {
                let what = stream_differences(&is, &keeping_copies(wanted.clone(), &is));
                if !what.is_empty() {
                    changes.push(Change::UpdateStream(wanted.name, what));
                }
            }
            None => changes.push(Change::AddStream(wanted.name)),
        }
    }
    match stream_as_it_is(nats, OBJECTS).await? {
        Some(is) => {
            let what = stream_differences(&is, &keeping_copies(objects(&is, size), &is));
            if !what.is_empty() {
                changes.push(Change::UpdateObjects(IMAGES.to_owned(), what));
            }
        }
        None => changes.push(Change::AddObjects(IMAGES.to_owned())),
    }
    for wanted in consumers {
        if changes.contains(&Change::AddStream(wanted.stream.to_owned())) {
            changes.push(Change::AddConsumer(wanted.stream, wanted.name.clone()));
            continue;
        }
        let stream = js
            .get_stream_no_info(wanted.stream)
            .await
            .map_err(|error| failed(format!("read stream {}", wanted.stream))(&error))?;
        match stream.get_consumer::<pull::Config>(&wanted.name).await {
            Ok(found) => {
                let what = consumer_differences(&found.cached_info().config, &config(wanted));
                if !what.is_empty() {
                    changes.push(Change::UpdateConsumer(wanted.stream, wanted.name.clone(), what));
                }
            }
            Err(error) if error.to_string().contains("not found") => {
                changes.push(Change::AddConsumer(wanted.stream, wanted.name.clone()));
            }
            Err(error) => return Err(failed(format!("read consumer {}", wanted.name))(&error)),
        }
    }
    Ok(changes)
}

/// Makes the server fit the house, and returns what was changed. Running it again changes nothing.
///
/// # Errors
/// When the server cannot be asked, or refuses a change.
pub async fn apply(nats: &Nats, consumers: &[Consumer], size: Size) -> Result<Vec<Change>, TopologyError> {
    let changes = plan(nats, consumers, size).await?;
    let js = nats.jetstream();
    let streams = streams(size);
    for change in &changes {
        let doing = change.to_string();
        match change {
            Change::AddStream(name) | Change::UpdateStream(name, _) => {
                for wanted in streams.iter().filter(|wanted| wanted.name == *name) {
                    let wanted = match stream_as_it_is(nats, name).await? {
                        Some(is) => keeping_copies(wanted.clone(), &is),
                        None => wanted.clone(),
                    };
                    js.create_or_update_stream(wanted)
                        .await
                        .map_err(|error| failed(&doing)(&error))?;
                }
            }
            Change::UpdateObjects(..) => {
                if let Some(is) = stream_as_it_is(nats, OBJECTS).await? {
                    js.update_stream(keeping_copies(objects(&is, size), &is))
                        .await
                        .map_err(|error| failed(&doing)(&error))?;
                }
            }
            Change::AddObjects(name) => {
                js.create_object_store(object_store::Config {
                    bucket: name.clone(),
                    description: Some("generated images, by image id".to_owned()),
                    num_replicas: size.replicas,
                    max_bytes: size.max_bytes,
                    ..object_store::Config::default()
                })
                .await
                .map_err(|error| failed(&doing)(&error))?;
            }
            Change::AddConsumer(stream, name) | Change::UpdateConsumer(stream, name, _) => {
                for wanted in consumers
                    .iter()
                    .filter(|wanted| wanted.stream == *stream && wanted.name == *name)
                {
                    let mut config = config(wanted);
                    if matches!(change, Change::UpdateConsumer(..)) {
                        let is = consumer_info(nats, stream, name).await?.config;
                        // What operators noted on it the server would drop. (A pause it keeps.)
                        config.metadata = is.metadata;
                        // Where it once began cannot be changed; one that was made anew began later.
                        config.deliver_policy = is.deliver_policy;
                    }
                    js.create_consumer_on_stream(config, *stream)
                        .await
                        .map_err(|error| failed(&doing)(&error))?;
                }
            }
        }
        tracing::info!(change = %change, "topology");
    }
    Ok(changes)
}

fn difference<T: PartialEq + std::fmt::Debug>(name: &str, is: &T, wanted: &T) -> Option<String> {
    (is != wanted).then(|| format!("{name} is {is:?}, wanted {wanted:?}"))
}

fn stream_differences(is: &Config, wanted: &Config) -> Vec<String> {
    [
        difference("subjects", &is.subjects, &wanted.subjects),
        difference("discard", &is.discard, &wanted.discard),
        difference("max_bytes", &is.max_bytes, &wanted.max_bytes),
        difference("replicas", &is.num_replicas, &wanted.num_replicas),
        difference("duplicate_window", &is.duplicate_window, &wanted.duplicate_window),
        difference("allow_atomic", &is.allow_atomic_publish, &wanted.allow_atomic_publish),
        difference(
            "schedules",
            &is.allow_message_schedules,
            &wanted.allow_message_schedules,
        ),
        difference("allow_direct", &is.allow_direct, &wanted.allow_direct),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn consumer_differences(is: &jetstream::consumer::Config, wanted: &pull::Config) -> Vec<String> {
    // The server keeps a single filter in a field of its own.
    let mut filters = is.filter_subjects.clone();
    if !is.filter_subject.is_empty() {
        filters.push(is.filter_subject.clone());
    }
    let mut differences = vec![difference("filters", &filters, &wanted.filter_subjects)];
    if wanted.ack_policy == AckPolicy::Explicit {
        differences.extend([
            difference("ack_wait", &is.ack_wait, &wanted.ack_wait),
            difference("max_ack_pending", &is.max_ack_pending, &wanted.max_ack_pending),
        ]);
    }
    differences.into_iter().flatten().collect()
}
