//! What was once said is read for ever. `schemas/golden/` keeps one sample of every message kind and
//! version, as it lies in somebody's streams today, and of the words beside each context's events. A
//! build that cannot read one of them, or reads it and says something else, is not let out.
//!
//! A new kind or version comes with a new file; a file that is there is never edited.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use maru_schemas::books::Books;
use maru_schemas::documents::schemas;
use maru_schemas::jobs::Job;
use maru_schemas::members::Members;
use maru_schemas::message::{Contract, Message, Told};
use maru_schemas::payments::Payments;
use maru_schemas::purchases::Purchases;
use maru_schemas::reviews::Reviews;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Reads a message with today's types and says it again.
type Again = fn(&Value) -> Result<Value, serde_json::Error>;

/// What this build knows of a message kind.
struct Known {
    again: Again,
    is_event: bool,
}

/// Every message kind, by its `ce-type`.
fn known() -> BTreeMap<String, Known> {
    fn add<M: Message>(all: &mut BTreeMap<String, Known>, room: &str, is_event: bool) {
        for kind in M::KINDS {
            let again = again::<M>;
            all.insert(format!("maru.{room}.{kind}.v1"), Known { again, is_event });
        }
    }
    fn of<C: Contract>(all: &mut BTreeMap<String, Known>) {
        add::<C::Command>(all, C::CONTEXT, false);
        add::<C::Event>(all, C::CONTEXT, true);
    }
    let mut all = BTreeMap::new();
    of::<Members>(&mut all);
    of::<Books>(&mut all);
    of::<Payments>(&mut all);
    of::<Purchases>(&mut all);
    of::<Reviews>(&mut all);
    add::<Job>(&mut all, "job", false);
    all
}

fn again<M: Message>(sample: &Value) -> Result<Value, serde_json::Error> {
    let message: M = serde_json::from_value(sample.clone())?;
    serde_json::to_value(message)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// Every golden file by its name without `.json`.
fn golden() -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder()).expect("schemas/golden is there");
    files
        .map(|file| {
            let path = file.expect("schemas/golden can be listed").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .to_owned();
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            let sample = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name} is not JSON: {error}"));
            let bare = name.strip_suffix(".json");
            (
                bare.unwrap_or_else(|| panic!("{name} does not end in .json"))
                    .to_owned(),
                sample,
            )
        })
        .collect()
}

/// The samples of messages, each with what is known of its kind.
fn messages() -> Vec<(String, Value, Known)> {
    let mut known = known();
    golden()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("text."))
        .map(|(name, sample)| {
            let kind = known.remove(&name);
            let kind = kind.unwrap_or_else(|| panic!("schemas/golden/{name}.json is of no kind that this build knows"));
            (name, sample, kind)
        })
        .collect()
}

fn validator(name: &str, schema: &Value) -> jsonschema::Validator {
    assert!(
        jsonschema::draft202012::meta::is_valid(schema),
        "the schema of {name} is not one of draft 2020-12"
    );
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap_or_else(|error| panic!("the schema of {name} cannot be used: {error}"))
}

#[test]
fn every_kind_has_a_golden_sample_and_a_schema() {
    let golden = golden();
    let schemas: Vec<String> = schemas().into_iter().map(|(name, _)| name).collect();
    for name in &schemas {
        assert!(
            golden.contains_key(name),
            "schemas/golden/{name}.json is missing: add a sample of the new kind"
        );
    }
    let known: Vec<String> = known().into_keys().collect();
    let mut described = schemas;
    described.sort();
    assert_eq!(
        described, known,
        "the kinds with a schema are not the kinds of the contracts"
    );
}

#[test]
fn every_golden_sample_is_read_and_said_again_as_it_was() {
    for (name, sample, kind) in messages() {
        let said = (kind.again)(&sample);
        let said = said.unwrap_or_else(|error| panic!("schemas/golden/{name}.json cannot be read any more: {error}"));
        assert_eq!(
            said, sample,
            "schemas/golden/{name}.json is read, but said again it is something else"
        );
    }
}

#[test]
fn every_golden_sample_is_of_the_kind_that_its_name_says() {
    for (name, sample, _) in messages() {
        let kind = sample["kind"].as_str().unwrap_or_default();
        assert!(
            name.ends_with(&format!(".{kind}.v1")),
            "schemas/golden/{name}.json holds a {kind}"
        );
    }
}

#[test]
fn every_golden_sample_is_as_its_schema_says() {
    let schemas: BTreeMap<String, Value> = schemas().into_iter().collect();
    for (name, sample, _) in messages() {
        let validator = validator(&name, &schemas[&name]);
        let errors: Vec<String> = validator.iter_errors(&sample).map(|error| error.to_string()).collect();
        assert!(
            errors.is_empty(),
            "schemas/golden/{name}.json is not as its schema says: {errors:?}"
        );
    }
}

#[test]
fn a_sample_that_lacks_what_its_schema_requires_is_not_read() {
    let schemas: BTreeMap<String, Value> = schemas().into_iter().collect();
    let mut tried = 0;
    for (name, sample, kind) in messages() {
        let schema = &schemas[&name];
        let validator = validator(&name, schema);
        for field in required(&schema["properties"]["data"]) {
            let lacking = without(&sample, &field);
            assert!(
                (kind.again)(&lacking).is_err(),
                "{name} is read without its {field}, which its schema requires"
            );
            assert!(
                !validator.is_valid(&lacking),
                "the schema of {name} takes a message without its {field}"
            );
            tried += 1;
        }
    }
    assert!(tried > 50, "only {tried} fields were tried; the contracts require more");
}

#[test]
fn a_field_of_another_type_is_not_read() {
    for (name, sample, kind) in messages() {
        for field in sample["data"].as_object().into_iter().flat_map(Map::keys) {
            let mut other = sample.clone();
            other["data"][field] = json!(["something", "else"]);
            assert!(
                (kind.again)(&other).is_err(),
                "{name} is read with a list as its {field}"
            );
        }
    }
}

#[test]
fn a_public_event_carries_ids_enums_numbers_and_booleans_only() {
    let schemas: BTreeMap<String, Value> = schemas().into_iter().collect();
    for (name, sample, _) in messages().into_iter().filter(|(.., kind)| kind.is_event) {
        for (field, value) in sample["data"].as_object().into_iter().flatten() {
            let schema = &schemas[&name]["properties"]["data"]["properties"][field];
            assert!(
                is_quiet(value, schema),
                "{name} lets a text into EVENTS: {field} is {value}"
            );
        }
    }
}

#[test]
fn no_schema_of_a_public_event_has_room_for_free_text() {
    let events: Vec<String> = known()
        .into_iter()
        .filter(|(_, kind)| kind.is_event)
        .map(|(name, _)| name)
        .collect();
    assert!(!events.is_empty(), "there are no events");
    for (name, schema) in schemas().into_iter().filter(|(name, _)| events.contains(name)) {
        let places = room_for_text(&schema, &name);
        assert!(
            places.is_empty(),
            "free text could stand in EVENTS, at {places:?}; keep it in the context's Text"
        );
    }
}

#[test]
fn room_for_free_text_is_found_wherever_it_hides() {
    let text = json!({ "type": "string", "description": "A nickname." });
    for hiding in [
        text.clone(),
        json!({ "type": ["string", "null"] }),
        json!({ "type": "string", "format": "date-time" }),
        json!({ "type": "object", "properties": { "name": text } }),
        json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        json!({ "type": "object", "additionalProperties": true }),
        json!({ "type": "array", "items": { "type": "string" } }),
        json!({ "type": "array" }),
        json!({ "oneOf": [{ "type": "string", "const": "A" }, { "type": "string" }] }),
        json!({ "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/Anything" }] }),
        json!({ "enum": ["A", ["free", "text"]] }),
        json!({}),
        json!(true),
    ] {
        assert!(
            !room_for_text(&hiding, "planted").is_empty(),
            "{hiding} was let through"
        );
    }
    for quiet in [
        json!({ "type": "string", "format": "uuid" }),
        json!({ "type": "string", "enum": ["READY", "FAILED"] }),
        json!({ "oneOf": [{ "type": "string", "const": "A" }, { "enum": ["B", null] }] }),
        json!({ "type": ["integer", "null"] }),
        json!({ "type": "boolean" }),
        json!({ "type": "object" }),
        json!({ "type": "array", "items": { "type": "number" } }),
    ] {
        assert_eq!(
            room_for_text(&quiet, "planted"),
            Vec::<String>::new(),
            "{quiet} was held back"
        );
    }
}

#[test]
fn the_words_beside_every_contexts_events_are_read_and_said_again() {
    fn text<C: Contract>(golden: &mut BTreeMap<String, Value>) {
        let name = format!("text.{}", C::CONTEXT);
        let sample = golden.remove(&name);
        let sample = sample.unwrap_or_else(|| panic!("schemas/golden/{name}.json is missing"));
        let event = C::Event::KINDS.first().expect("a context has events");
        let event = fs::read_to_string(folder().join(format!("maru.{}.{event}.v1.json", C::CONTEXT)));
        let event: Value = serde_json::from_str(&event.expect("its first event has a sample")).expect("which is JSON");
        let whole = json!({ "event": event, "text": sample });
        let told: Told<C::Event, C::Text> = serde_json::from_value(whole.clone())
            .unwrap_or_else(|error| panic!("schemas/golden/{name}.json cannot be read any more: {error}"));
        assert_eq!(
            serde_json::to_value(&told).expect("it can be said"),
            whole,
            "{name} is said otherwise"
        );
        // A text of one field changed alone, and one of none, are as old as the log.
        for field in sample.as_object().into_iter().flat_map(Map::keys) {
            let alone = json!({ field: sample[field] });
            let text: C::Text = serde_json::from_value(alone.clone())
                .unwrap_or_else(|error| panic!("the {field} of {name} cannot be read alone: {error}"));
            assert_eq!(
                serde_json::to_value(&text).expect("it can be said"),
                alone,
                "{field} of {name}, alone"
            );
        }
        let plain: Told<C::Event, C::Text> =
            serde_json::from_value(json!({ "event": event })).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            plain.text,
            C::Text::default(),
            "an event of {} without words has some",
            C::CONTEXT
        );
    }
    let mut golden = golden();
    golden.retain(|name, _| name.starts_with("text."));
    text::<Members>(&mut golden);
    text::<Books>(&mut golden);
    text::<Payments>(&mut golden);
    text::<Purchases>(&mut golden);
    text::<Reviews>(&mut golden);
    let left: Vec<&String> = golden.keys().collect();
    assert!(left.is_empty(), "these texts are of no context: {left:?}");
}

/// Every golden text holds every field that its type has, or a renamed field would pass unseen.
#[test]
fn no_field_of_a_context_s_words_is_left_out_of_its_sample() {
    fn fields<C: Contract>(golden: &BTreeMap<String, Value>) {
        let schema = schemars::schema_for!(C::Text).to_value();
        let sample = &golden[&format!("text.{}", C::CONTEXT)];
        for field in schema["properties"].as_object().into_iter().flat_map(Map::keys) {
            assert!(
                !sample[field].is_null(),
                "schemas/golden/text.{}.json has no {field}",
                C::CONTEXT
            );
        }
    }
    let golden = golden();
    fields::<Members>(&golden);
    fields::<Books>(&golden);
    fields::<Payments>(&golden);
    fields::<Purchases>(&golden);
    fields::<Reviews>(&golden);
}

fn required(data: &Value) -> Vec<String> {
    let names = data["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn without(sample: &Value, field: &str) -> Value {
    let mut lacking = sample.clone();
    let removed = lacking["data"]
        .as_object_mut()
        .and_then(|data| data.shift_remove(field));
    assert!(removed.is_some(), "the sample has no {field} to take away");
    lacking
}

/// An id, a value of a closed list, a number, a boolean, or nothing; lists of these.
fn is_quiet(value: &Value, schema: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => Uuid::parse_str(text).is_ok() || values(schema).contains(&value),
        Value::Array(items) => items.iter().all(|item| is_quiet(item, &schema["items"])),
        Value::Object(_) => false,
    }
}

/// The values that a schema lists one by one.
fn values(schema: &Value) -> Vec<&Value> {
    let branches = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|key| schema[key].as_array())
        .flatten();
    let listed = schema["enum"].as_array().into_iter().flatten();
    let one = schema.get("const").into_iter();
    one.chain(listed).chain(branches.flat_map(values)).collect()
}

/// The places of a schema where a text could stand that is neither an id nor one of a closed list.
/// Whatever this does not understand counts as room.
fn room_for_text(schema: &Value, place: &str) -> Vec<String> {
    let here = || vec![place.to_owned()];
    let Some(object) = schema.as_object() else {
        return if schema == &json!(false) { Vec::new() } else { here() };
    };
    let listed = values_of_its_own(object);
    if !listed.is_empty() {
        let scalar = listed.iter().all(|value| !value.is_array() && !value.is_object());
        return if scalar { Vec::new() } else { here() };
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(branches) = object.get(key).and_then(Value::as_array) {
            return branches
                .iter()
                .flat_map(|branch| room_for_text(branch, place))
                .collect();
        }
    }
    let types: Vec<&str> = match object.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return here(),
    };
    let mut rooms = Vec::new();
    for kind in types {
        match kind {
            "null" | "boolean" | "integer" | "number" => {}
            "string" if object.get("format") == Some(&json!("uuid")) => {}
            "array" => match object.get("items") {
                Some(items) => rooms.extend(room_for_text(items, &format!("{place}[]"))),
                None => rooms.push(place.to_owned()),
            },
            "object" => {
                for (name, field) in object
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                {
                    rooms.extend(room_for_text(field, &format!("{place}.{name}")));
                }
                if let Some(more) = object.get("additionalProperties") {
                    rooms.extend(room_for_text(more, &format!("{place}.*")));
                }
            }
            _ => rooms.push(place.to_owned()),
        }
    }
    rooms
}

fn values_of_its_own(schema: &Map<String, Value>) -> Vec<&Value> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    schema.get("const").into_iter().chain(listed).collect()
}
