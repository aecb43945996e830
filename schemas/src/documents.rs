//! The published documents that are generated from the types: one JSON Schema a message kind, and
//! the AsyncAPI 3.0 description of the streams. They are committed under `schemas/`, and a test
//! fails when they drift.

use std::collections::BTreeSet;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::jobs::Job;
use crate::message::{Contract, Message};
use crate::{books, members, payments, purchases, reviews};

/// Every message kind with its JSON Schema (draft 2020-12), by the name that `ce-dataschema` gives.
#[must_use]
pub fn schemas() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    of_contract::<members::Members>(&mut all);
    of_contract::<books::Books>(&mut all);
    of_contract::<payments::Payments>(&mut all);
    of_contract::<purchases::Purchases>(&mut all);
    of_contract::<reviews::Reviews>(&mut all);
    of_message::<Job>("job", &mut all);
    all
}

fn of_contract<C: Contract>(all: &mut Vec<(String, Value)>) {
    of_message::<C::Command>(C::CONTEXT, all);
    of_message::<C::Event>(C::CONTEXT, all);
}

fn of_message<M: Message>(room: &str, all: &mut Vec<(String, Value)>) {
    let mut generator =
        SchemaGenerator::new(SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true));
    let whole = M::json_schema(&mut generator).to_value();
    let variants = whole["oneOf"].as_array().cloned().unwrap_or_default();
    for kind in M::KINDS {
        let of_kind = variants
            .iter()
            .find(|variant| variant["properties"]["kind"]["const"] == *kind);
        let mut schema = of_kind.cloned().unwrap_or_else(|| json!(false));
        if let Some(object) = schema.as_object_mut() {
            object.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
            object.insert("title".into(), format!("maru.{room}.{kind}.v1").into());
        }
        all.push((format!("maru.{room}.{kind}.v1"), schema));
    }
}

/// Where every message lies that this build can read: its subject without the last part, as in
/// `cmd.books.create_book.v1`.
#[must_use]
pub fn subjects() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut add = |family: &Family, room: &str, kind: &str| {
        all.insert(format!("{}.{room}.{kind}.v1", family.prefix));
    };
    each::<members::Members>(&mut add);
    each::<books::Books>(&mut add);
    each::<payments::Payments>(&mut add);
    each::<purchases::Purchases>(&mut add);
    each::<reviews::Reviews>(&mut add);
    all.extend(Job::KINDS.iter().map(|kind| format!("job.{kind}.v1")));
    all
}

/// The streams as an AsyncAPI 3.0 document: a channel for each message kind, with its subject.
#[must_use]
pub fn asyncapi() -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    let mut add = |family: &Family, room: &str, kind: &str| {
        let name = format!("maru.{room}.{kind}.v1");
        let id = format!("{}_{room}_{kind}", family.prefix);
        let address = match family.prefix {
            "job" => format!("job.{kind}.v1.{{id}}"),
            prefix => format!("{prefix}.{room}.{kind}.v1.{{id}}"),
        };
        channels.insert(
            id.clone(),
            json!({
                "address": address,
                "description": family.stream,
                "parameters": { "id": { "description": family.parameter } },
                "messages": { &name: { "$ref": format!("#/components/messages/{name}") } },
                "bindings": { "nats": {} },
            }),
        );
        operations.insert(
            id.clone(),
            json!({
                "action": family.action,
                "channel": { "$ref": format!("#/channels/{id}") },
                "messages": [{ "$ref": format!("#/channels/{id}/messages/{name}") }],
            }),
        );
        let schema = schemas()
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, schema)| schema);
        messages.insert(
            name.clone(),
            json!({
                "name": name,
                "contentType": "application/json",
                "headers": { "$ref": "#/components/schemas/Envelope" },
                "payload": { "schemaFormat": "application/schema+json;version=draft-2020-12", "schema": schema },
            }),
        );
    };
    each::<members::Members>(&mut add);
    each::<books::Books>(&mut add);
    each::<payments::Payments>(&mut add);
    each::<purchases::Purchases>(&mut add);
    each::<reviews::Reviews>(&mut add);
    for kind in Job::KINDS {
        add(&JOBS, "job", kind);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Maru",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "CloudEvents 1.0.2 in binary mode on NATS JetStream. Events carry ids, enums, versions and amounts only.",
        },
        "defaultContentType": "application/json",
        "servers": { "nats": { "host": "localhost:4222", "protocol": "nats" } },
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": { "Envelope": envelope() } },
    })
}

struct Family {
    prefix: &'static str,
    stream: &'static str,
    parameter: &'static str,
    action: &'static str,
}

const COMMANDS: Family = Family {
    prefix: "cmd",
    stream: "In COMMANDS: an intention, once for ever under its own subject.",
    parameter: "The command's id.",
    action: "receive",
};
const EVENTS: Family = Family {
    prefix: "evt",
    stream: "In EVENTS: a fact, in the order of its aggregate's versions.",
    parameter: "The aggregate's id.",
    action: "send",
};
const JOBS: Family = Family {
    prefix: "job",
    stream: "In JOBS: an effect to perform, once for ever under its own subject.",
    parameter: "The job's id.",
    action: "receive",
};

fn each<C: Contract>(add: &mut impl FnMut(&Family, &str, &str)) {
    for kind in C::Command::KINDS {
        add(&COMMANDS, C::CONTEXT, kind);
    }
    for kind in C::Event::KINDS {
        add(&EVENTS, C::CONTEXT, kind);
    }
}

fn envelope() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "required": ["ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "ce-subject", "maru-actor", "maru-correlation"],
        "properties": {
            "ce-specversion": { "type": "string", "const": "1.0" },
            "ce-id": { "type": "string", "format": "uuid", "description": "Unique for ever; equal to Nats-Msg-Id." },
            "ce-type": text("maru.<context>.<kind>.v1"),
            "ce-source": text("maru/gateway or maru/workers"),
            "ce-time": { "type": "string", "format": "date-time" },
            "ce-subject": { "type": "string", "format": "uuid", "description": "The aggregate." },
            "ce-dataschema": text("/schemas/<ce-type>.json"),
            "Nats-Msg-Id": { "type": "string", "format": "uuid" },
            "maru-actor": text("member:<id>, admin:<id>, anonymous or system"),
            "maru-correlation": { "type": "string", "format": "uuid", "description": "The request it all began with." },
            "maru-causation": { "type": "string", "format": "uuid", "description": "The message that caused it." },
            "maru-version": text("An event's aggregate version."),
            "maru-owner": { "type": "string", "format": "uuid", "description": "The member whose thing it is about." },
            "traceparent": text("W3C trace context."),
        },
    })
}
