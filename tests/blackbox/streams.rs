//! The streams of a house as its nats-server tells of them, without asking Maru.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use maru_streams::nats::Nats;
use maru_streams::topology::EVENTS;
use serde_json::Value;

use crate::form::Servers;
use crate::house::House;

/// What nats-server says of its streams.
#[derive(Debug, Default)]
pub struct Streams {
    /// Messages of each stream.
    pub messages: BTreeMap<String, u64>,
    /// What each durable consumer has not settled.
    pub left: BTreeMap<String, u64>,
}

impl House {
    fn ports(&self) -> Value {
        let ports = std::fs::read_dir(self.data().join("nats/run")).expect("the ports folder");
        let ports = ports.flatten().next().expect("a ports file").path();
        serde_json::from_slice(&std::fs::read(ports).expect("ports")).expect("ports")
    }

    /// Where its nats-server listens.
    pub fn nats_address(&self) -> String {
        let ports = self.ports();
        let url = ports["nats"][0].as_str().expect("an address");
        url.trim_start_matches("nats://").to_owned()
    }

    /// What nats-server itself says of its streams: messages, and what each durable consumer has left.
    pub async fn streams(&self) -> Streams {
        if let Servers::Three(cluster) = &self.servers {
            return cluster.streams().await;
        }
        let ports = self.ports();
        let monitor = ports["monitoring"][0].as_str().expect("a monitor");
        let url = format!("{monitor}/jsz?streams=true&consumers=true&config=true");
        let told: Value = self.http.get(url).send().await.expect("jsz").json().await.expect("jsz");
        let mut streams = Streams::default();
        for account in told["account_details"].as_array().into_iter().flatten() {
            for stream in account["stream_detail"].as_array().into_iter().flatten() {
                let name = stream["name"].as_str().unwrap_or_default().to_owned();
                streams
                    .messages
                    .insert(name, stream["state"]["messages"].as_u64().unwrap_or_default());
                for consumer in stream["consumer_detail"].as_array().into_iter().flatten() {
                    if consumer["config"]["durable_name"].is_string() {
                        let left = consumer["num_pending"].as_u64().unwrap_or_default();
                        let open = consumer["num_ack_pending"].as_u64().unwrap_or_default();
                        let name = consumer["name"].as_str().unwrap_or_default().to_owned();
                        streams.left.insert(name, left + open);
                    }
                }
            }
        }
        assert!(
            streams.left.len() > 10,
            "nats-server tells of too few consumers: {told}"
        );
        streams
    }

    /// Canaries among the events: one a minute, so that there are some only where a house stands long enough.
    pub async fn canaries(&self) -> u64 {
        let url = match &self.servers {
            Servers::Three(cluster) => cluster.url(),
            _ => format!("nats://{}", self.nats_address()),
        };
        let nats = Nats::connect(&url, "test").await.expect("a connection");
        let events = nats.jetstream().get_stream(EVENTS).await.expect("a stream");
        let mut found = events.info_with_subjects("evt.canary.>").await.expect("its subjects");
        let mut canaries = 0;
        while let Some(subject) = found.next().await {
            canaries += u64::try_from(subject.expect("a subject").1).expect("a number");
        }
        canaries
    }

    /// Waits until nothing is left to do anywhere. What a crash left unsettled comes again after half a minute.
    pub async fn settles(&self) {
        let until = Instant::now() + Duration::from_secs(70);
        loop {
            let left: BTreeMap<_, _> = self
                .streams()
                .await
                .left
                .into_iter()
                .filter(|(_, left)| *left > 0)
                .collect();
            if left.is_empty() && self.metric("maru_lane_in_flight", &[]).await == 0.0 {
                return;
            }
            assert!(
                Instant::now() < until,
                "something is left for ever: {left:?}\n{}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
