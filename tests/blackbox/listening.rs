//! Server-sent events as a browser reads them.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use reqwest::Method;
use serde_json::Value;

use crate::house::PATIENCE;
use crate::person::Person;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Passing {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

/// A stream of events that is listened to.
pub struct Listening {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>,
    read: Vec<u8>,
}

impl Listening {
    /// Listens to an address, from behind the event with the id `last`.
    pub async fn open(person: &Person, path: &str, last: Option<&str>) -> Self {
        let mut request = person.request(Method::GET, path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let bytes = answer.bytes_stream().map(|bytes| bytes.map(|bytes| bytes.to_vec()));
        Self {
            bytes: Box::pin(bytes),
            read: Vec::new(),
        }
    }

    /// The next event; None at the end of the stream.
    pub async fn next(&mut self) -> Option<Passing> {
        loop {
            while let Some(end) = self.read.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("whole letters");
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let (Some(id), Some(kind), Some(data)) = (field("id:"), field("event:"), field("data:")) {
                    return Some(Passing {
                        id: id.to_owned(),
                        kind: kind.to_owned(),
                        data: serde_json::from_str(data).expect("json"),
                    });
                }
            }
            let bytes = tokio::time::timeout(PATIENCE, self.bytes.next())
                .await
                .expect("an event in time")?;
            self.read.extend(bytes.ok()?);
        }
    }
}
