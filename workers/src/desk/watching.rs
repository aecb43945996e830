//! How it stands, stopping a lane, and what became of a command.

use std::time::Duration;

use futures_util::FutureExt;
use maru_schemas::views::VIEWS;
use maru_streams::desk::{Desk, DeskError, Progress};
use maru_streams::doctor::examine;
use maru_streams::intention::Clock;
use maru_streams::lanes::{self, PauseError};
use maru_streams::nats::Nats;
use maru_streams::trace::{TraceError, trace};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::House;

/// What a handler may take longer than its time: settling, and a heartbeat in between.
const SETTLING: Duration = Duration::from_secs(15);

pub(super) fn answers(desk: Desk, house: &House) -> Desk {
    doctor(traces(status(pauses(desk, house), house), house), house)
}

fn doctor(desk: Desk, house: &House) -> Desk {
    let (parts, place, consumers) = (house.parts.clone(), house.place.clone(), house.consumers());
    desk.answers("doctor", move |_, _| {
        let (parts, place, consumers) = (parts.clone(), place.clone(), consumers.clone());
        async move {
            let findings = examine(&parts.nats, &parts.store, &parts.clock, &consumers, &place).await;
            Ok(json!({ "findings": findings }))
        }
        .boxed()
    })
}

fn traces(desk: Desk, house: &House) -> Desk {
    let parts = house.parts.clone();
    desk.answers("commands.trace", move |question, _| {
        let parts = parts.clone();
        async move {
            let id = question["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
            let id = id.ok_or_else(|| DeskError::Question("say which, by its id (a UUID)".to_owned()))?;
            let trace = trace(&parts.nats, &parts.store, id, &VIEWS).await;
            let trace = trace.map_err(|error| match error {
                TraceError::NotThere(_) => DeskError::NotThere(error.to_string()),
                _ => DeskError::failed(&error),
            })?;
            serde_json::to_value(trace).map_err(|error| DeskError::failed(&error))
        }
        .boxed()
    })
}

fn status(desk: Desk, house: &House) -> Desk {
    let (parts, paces) = (house.parts.clone(), house.paces.clone());
    desk.answers("lanes.status", move |_, _| {
        let (parts, paces) = (parts.clone(), paces.clone());
        async move {
            let now = parts.clock.now();
            let status = lanes::status(&parts.nats, &parts.store, &paces, now, &VIEWS).await;
            let status = status.map_err(|error| DeskError::failed(&error))?;
            serde_json::to_value(status).map_err(|error| DeskError::failed(&error))
        }
        .boxed()
    })
}

/// Who looks after lanes.
#[derive(Clone)]
struct Keeper {
    nats: Nats,
    clock: Clock,
    /// For each lane, how long a message of it may run.
    longest: Vec<(String, Duration)>,
}

fn pauses(desk: Desk, house: &House) -> Desk {
    let keeper = Keeper {
        nats: house.parts.nats.clone(),
        clock: house.parts.clock.clone(),
        longest: house
            .lanes
            .iter()
            .map(|lane| (lane.name.clone(), lane.policy.timeout + SETTLING))
            .collect(),
    };
    let (pausing, resuming, draining) = (keeper.clone(), keeper.clone(), keeper);
    desk.answers("lanes.pause", move |question, _| {
        let keeper = pausing.clone();
        async move { keeper.pause(&question).await.map(|lanes| json!({ "paused": lanes })) }.boxed()
    })
    .answers("lanes.resume", move |question, _| {
        let keeper = resuming.clone();
        async move { keeper.resume(&question).await.map(|lanes| json!({ "resumed": lanes })) }.boxed()
    })
    .answers("lanes.drain", move |question, progress| {
        let keeper = draining.clone();
        async move { keeper.drain(&question, &progress).await }.boxed()
    })
}

impl Keeper {
    async fn pause(&self, question: &Value) -> Result<Vec<String>, DeskError> {
        let mut paused = Vec::new();
        for name in self.named(question)? {
            let lanes = lanes::pause(&self.nats, &name, by(question)?, self.clock.now()).await;
            paused.extend(lanes.map_err(refused)?);
        }
        Ok(paused)
    }

    async fn resume(&self, question: &Value) -> Result<Vec<String>, DeskError> {
        let (mut resumed, mut names) = (Vec::new(), self.named(question)?);
        if question["all"] == true {
            // Those too that `all` does not pause: the clock would stand still without a word.
            let paused = lanes::paused(&self.nats).await;
            let paused = paused.map_err(|error| DeskError::failed(&error))?;
            let is_met = |name: &String| name.starts_with("late-") || name.starts_with("redo-") || names.contains(name);
            let others: Vec<String> = paused.into_iter().filter(|name| !is_met(name)).collect();
            names.extend(others);
        }
        for name in names {
            let lanes = lanes::resume(&self.nats, &name, by(question)?, self.clock.now()).await;
            resumed.extend(lanes.map_err(refused)?);
        }
        Ok(resumed)
    }

    async fn drain(&self, question: &Value, progress: &Progress) -> Result<Value, DeskError> {
        let mut drained = Vec::new();
        for lane in self.pause(question).await? {
            let longest = self.longest.iter().find(|(name, _)| *name == lane);
            let longest = longest.map_or(SETTLING, |(_, longest)| *longest);
            let word = |unsettled| progress.say(json!({ "lane": lane, "unsettled": unsettled }));
            let left = lanes::drain(&self.nats, &lane, longest, word).await.map_err(refused)?;
            drained.push(json!({
                "lane": lane,
                "pending": left.pending,
                "waitingForRetry": left.waiting_for_retry,
            }));
        }
        Ok(json!({ "drained": drained }))
    }

    /// The lanes that a question names, each once; every one of the house for `all`.
    fn named(&self, question: &Value) -> Result<Vec<String>, DeskError> {
        if question["all"] == true {
            return Ok(self.longest.iter().map(|(name, _)| name.clone()).collect());
        }
        let names = question["lanes"].as_array().into_iter().flatten();
        let mut names: Vec<String> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        names.sort_unstable();
        names.dedup();
        match names.is_empty() {
            true => Err(DeskError::Question("name the lanes, or say all".to_owned())),
            false => Ok(names),
        }
    }
}

/// Who asks, for what is noted on the lane.
fn by(question: &Value) -> Result<&str, DeskError> {
    let by = question["by"].as_str().filter(|by| !by.is_empty());
    by.ok_or_else(|| DeskError::Question("say who asks, in `by`".to_owned()))
}

fn refused(error: PauseError) -> DeskError {
    match error {
        PauseError::NoSuchLane(_) => DeskError::NotThere(error.to_string()),
        PauseError::Topology(error) => DeskError::failed(&error),
    }
}
