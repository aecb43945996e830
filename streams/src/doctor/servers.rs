//! What the streaming server and the database say of themselves.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Finding, Grade, Place, above};
use crate::durability::{self, Durability};
use crate::intention::Clock;
use crate::lanes::fill;
use crate::nats::Nats;
use crate::store::Store;
use crate::topology::{self, COMMANDS, Change, Consumer, Size};

/// Clocks that are further apart, in seconds, are worth a look, and further still are wrong.
const APART: (f64, f64) = (1.0, 10.0);
/// How full a stream may be.
const FULL: (f64, f64) = (0.7, 0.9);
/// How long an event may wait for EVENTS, in seconds.
const OUTBOX: (f64, f64) = (10.0, 60.0);

const AWAY: &str = "see that it runs and can be reached, and read its log";

pub(super) async fn examine(
    nats: &Nats,
    store: &Store,
    clock: &Clock,
    consumers: &[Consumer],
    place: &Place,
) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("nats-server", nats.client().server_info().version)];
    for room in store.each() {
        findings.push(match room.db().version().await {
            Ok(version) => Finding::ok("database", about(&room, version)),
            Err(error) => Finding::graded("database", Grade::Bad, about(&room, error.to_string()), AWAY),
        });
    }
    findings.push(durable(nats, place).await);
    findings.push(apart("clock of nats-server", clock, nats_time(nats)).await);
    for room in store.each() {
        let mut found = apart("clock of the database", clock, database_time(&room)).await;
        found.found = about(&room, found.found);
        findings.push(found);
    }
    findings.extend(streams(nats).await);
    findings.push(consumers_there(nats, consumers).await);
    for room in store.each() {
        let mut found = outbox(&room, clock.now()).await;
        found.found = about(&room, found.found);
        findings.push(found);
    }
    findings
}

/// Whose database it was found in, where a context has its own.
fn about(room: &Store, found: String) -> String {
    match room.context() {
        Some(context) => format!("{context}: {found}"),
        None => found,
    }
}

async fn durable(nats: &Nats, place: &Place) -> Finding {
    const WHAT: &str = "durability";
    let Some(monitor) = place.monitor.as_deref() else {
        return Finding::graded(
            WHAT,
            Grade::Warn,
            "cannot be seen from here",
            "look at maru_durability_info of a gateway, which knows nats-server's monitoring address",
        );
    };
    let found = durability::read(nats, Some(monitor), &place.databases).await;
    let grade = if found == Durability::Buffered {
        Grade::Bad
    } else {
        Grade::Ok
    };
    Finding::graded(
        WHAT,
        grade,
        format!("accepted means {}", found.as_str()),
        "a power cut would lose what was accepted: give nats-server `sync_interval: always`, the database `sync=every`",
    )
}

async fn nats_time(nats: &Nats) -> Option<Timestamp> {
    let all = json!({});
    let asked = nats.jetstream().request(format!("STREAM.INFO.{COMMANDS}"), &all);
    let info: Value = asked.await.ok()?;
    info["ts"].as_str()?.parse().ok()
}

async fn database_time(store: &Store) -> Option<Timestamp> {
    let mut rows = store.db().query("RETURN <string>time::now()").await.ok()?;
    let time: Option<String> = rows.take(0).ok()?;
    time?.parse().ok()
}

/// How far a server's clock is from ours: from the middle of the question, so that the way does not count.
async fn apart(what: &'static str, clock: &Clock, asked: impl Future<Output = Option<Timestamp>>) -> Finding {
    let before = clock.now();
    let Some(theirs) = asked.await else {
        return Finding::graded(what, Grade::Warn, "it did not say", AWAY);
    };
    let after = clock.now();
    let seconds = |at: Timestamp| theirs.duration_since(at).as_secs_f64();
    let off = f64::midpoint(seconds(before), seconds(after));
    Finding::graded(
        what,
        above(off.abs(), APART.0, APART.1),
        format!("{off:+.3} s from ours"),
        "let all machines keep their time by NTP: tokens and schedules go by it",
    )
}

async fn streams(nats: &Nats) -> Vec<Finding> {
    let streams = match fill(nats).await {
        Ok(streams) => streams,
        Err(error) => return vec![Finding::graded("streams", Grade::Bad, error.to_string(), AWAY)],
    };
    let findings = streams.into_iter().map(|one| {
        let fill = one.fill.unwrap_or_default();
        Finding::graded(
            "stream",
            above(fill, FULL.0, FULL.1),
            format!("{} is {:.1}% full", one.stream, fill * 100.0),
            "a full one refuses: raise MARU_STREAM_MAX_BYTES (and `maru streams apply`), or find who does not keep up",
        )
    });
    findings.collect()
}

async fn consumers_there(nats: &Nats, consumers: &[Consumer]) -> Finding {
    const WHAT: &str = "topology";
    // How large a stream may be is a setting that this process was not told.
    let is_size = |change: &Change| matches!(change, Change::UpdateStream(..) | Change::UpdateObjects(..));
    match topology::plan(nats, consumers, Size::default()).await {
        Ok(mut changes) => {
            changes.retain(|change| !is_size(change));
            let missing = |change: &Change| !matches!(change, Change::UpdateConsumer(..));
            let grade = match changes.is_empty() {
                true => Grade::Ok,
                false if changes.iter().any(missing) => Grade::Bad,
                false => Grade::Warn,
            };
            let found = match grade {
                Grade::Ok => format!("all {} consumers are there", consumers.len()),
                _ => changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            };
            Finding::graded(WHAT, grade, found, "run `maru streams apply` with this build")
        }
        Err(error) => Finding::graded(WHAT, Grade::Bad, error.to_string(), AWAY),
    }
}

async fn outbox(store: &Store, now: Timestamp) -> Finding {
    const WHAT: &str = "outbox";
    let asked = async {
        let mut rows = store
            .db()
            .query("SELECT VALUE envelope.time FROM outbox LIMIT 500")
            .await?;
        rows.take::<Vec<String>>(0)
    };
    match asked.await {
        Ok(times) => {
            let oldest = times.iter().filter_map(|time| time.parse::<Timestamp>().ok()).min();
            let age = oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64());
            Finding::graded(
                WHAT,
                above(age, OUTBOX.0, OUTBOX.1),
                match times.len() {
                    0 => "nothing waits for EVENTS".to_owned(),
                    rows => format!("{rows} events wait for EVENTS, the oldest for {age:.0} s"),
                },
                "see that workers run, and that EVENTS is not full",
            )
        }
        Err(error) => Finding::graded(WHAT, Grade::Bad, error.to_string(), AWAY),
    }
}
