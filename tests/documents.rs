//! What is published is what the code says. OpenAPI, AsyncAPI, the JSON Schemas and the list of problems
//! are written by `maru documents` and committed; here they are held against the code, and against what
//! their readers may rely on.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}; run `make docs`"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path} is not JSON: {error}"))
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// What a `$ref` within a document leads to.
fn led_to<'d>(document: &'d Value, reference: &Value) -> Option<&'d Value> {
    document.pointer(reference["$ref"].as_str()?.strip_prefix('#')?)
}

/// `maru documents --check` on a folder of sources: whether it went well, and what it said.
fn check(root: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_maru"))
        .args(["documents", "--check", "--root"])
        .arg(root)
        .output()
        .expect("maru runs");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn the_published_documents_are_as_the_code_says() {
    let (is_well, said) = check(root());
    assert!(is_well, "{said}");
}

#[test]
fn every_command_that_may_be_answered_with_202_says_how_long_it_may_take() {
    let openapi = document("schemas/openapi.json");
    let mut accepted = 0;
    for (path, item) in entries(&openapi["paths"]).filter(|(path, _)| !path.starts_with("/v1/ops/")) {
        for (method, operation) in entries(item) {
            let answer = &operation["responses"]["202"];
            if answer.is_object() {
                accepted += 1;
                let header = &answer["headers"]["Maru-Expected-Wait"];
                assert_eq!(header["schema"]["type"], "integer", "{method} {path}");
            }
        }
    }
    assert!(accepted > 10, "{accepted}");
}

#[test]
fn a_document_that_drifted_or_is_gone_is_found_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (is_well, said) = check(folder.path());
    assert!(
        !is_well && said.contains("openapi.json"),
        "an empty folder was taken: {said}"
    );

    let write = Command::new(env!("CARGO_BIN_EXE_maru"))
        .args(["documents", "--root"])
        .arg(folder.path())
        .output();
    assert!(
        write.expect("maru runs").status.success(),
        "the documents could not be written"
    );
    assert!(check(folder.path()).0, "what was just written has drifted");

    let problems = folder.path().join("docs/problems.md");
    let drifted = fs::read_to_string(&problems)
        .expect("a list of problems")
        .replace("404", "410");
    fs::write(&problems, &drifted).expect("it can be written");
    let (is_well, said) = check(folder.path());
    assert!(
        !is_well && said.contains("problems.md"),
        "a drifted list of problems was taken: {said}"
    );
    assert_eq!(
        fs::read_to_string(&problems).ok(),
        Some(drifted),
        "--check changed a document"
    );
}

#[test]
fn a_schema_of_a_kind_that_is_gone_is_not_left_lying_about() {
    let known: BTreeSet<String> = maru_schemas::documents::schemas()
        .into_iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    let files = fs::read_dir(root().join("schemas/json")).expect("schemas/json is there; run `make docs`");
    let there: BTreeSet<String> = files
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(there, known, "schemas/json is not one file a kind");
}

/// What an OpenAPI document lacks, by method and path.
fn gaps(openapi: &Value) -> Vec<String> {
    const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];
    let mut gaps = Vec::new();
    for (path, item) in entries(&openapi["paths"]) {
        let operations: Vec<_> = entries(item)
            .filter(|(method, _)| METHODS.contains(&method.as_str()))
            .collect();
        if operations.is_empty() {
            gaps.push(format!("{path} has no operation"));
        }
        for (method, operation) in operations {
            let responses = || entries(&operation["responses"]);
            let is_well = |(status, _): (&String, &Value)| status.starts_with('2') && status.len() == 3;
            let is_problem = |(status, response): (&String, &Value)| {
                let schema = &response["content"]["application/problem+json"]["schema"];
                status.starts_with(['4', '5']) && led_to(openapi, schema).is_some()
            };
            if !responses().any(is_well) {
                gaps.push(format!("{method} {path} does not say how it goes well"));
            }
            if !responses().any(is_problem) {
                gaps.push(format!("{method} {path} does not say how it goes wrong"));
            }
            let bare = responses().filter(|(status, response)| {
                status.starts_with(['4', '5']) && response["content"]["application/problem+json"].is_null()
            });
            gaps.extend(bare.map(|(status, _)| format!("{method} {path} answers {status} with no problem")));
        }
    }
    gaps
}

#[test]
fn every_address_says_how_it_goes_well_and_how_it_goes_wrong() {
    let openapi = document("schemas/openapi.json");
    let version = openapi["openapi"].as_str().unwrap_or_default();
    assert!(version.starts_with("3.1."), "OpenAPI {version} is not 3.1");
    assert!(entries(&openapi["paths"]).count() > 10, "the API has hardly an address");
    assert_eq!(gaps(&openapi), Vec::<String>::new());
}

#[test]
fn an_address_without_a_good_or_a_bad_answer_is_found() {
    let openapi = document("schemas/openapi.json");
    let (path, method) = ("/v1/payments", "get");
    let problems = openapi["paths"][path][method]["responses"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let (well, wrong): (Map<_, _>, Map<_, _>) = problems.into_iter().partition(|(status, _)| status.starts_with('2'));
    for half in [well, wrong] {
        let mut planted = openapi.clone();
        planted["paths"][path][method]["responses"] = half.into();
        assert_eq!(gaps(&planted).len(), 1, "{:?}", gaps(&planted));
    }
    let mut planted = openapi.clone();
    planted["paths"][path][method]["responses"]["404"] = json!({ "description": "Gone." });
    assert_eq!(gaps(&planted), ["get /v1/payments answers 404 with no problem"]);
}

/// Where an AsyncAPI document points at nothing.
fn loose_ends(asyncapi: &Value) -> Vec<String> {
    let mut ends = Vec::new();
    for (channel, body) in entries(&asyncapi["channels"]) {
        let address = body["address"].as_str().unwrap_or_default();
        if !["cmd.", "evt.", "job."]
            .iter()
            .any(|family| address.starts_with(family))
        {
            ends.push(format!("the address {address:?} of {channel} is no subject of ours"));
        }
        if entries(&body["messages"]).count() == 0 {
            ends.push(format!("{channel} has no message"));
        }
        for (name, reference) in entries(&body["messages"]) {
            let message = led_to(asyncapi, reference);
            if message.is_none_or(|message| !message["payload"]["schema"]["properties"]["kind"]["const"].is_string()) {
                ends.push(format!(
                    "the message {name} of {channel} is not there, or has no schema"
                ));
            }
            if message.is_some_and(|message| led_to(asyncapi, &message["headers"]).is_none()) {
                ends.push(format!("the headers of {name} are not there"));
            }
        }
    }
    for (operation, body) in entries(&asyncapi["operations"]) {
        let messages = body["messages"].as_array().into_iter().flatten();
        if !messages
            .chain([&body["channel"]])
            .all(|reference| led_to(asyncapi, reference).is_some())
        {
            ends.push(format!(
                "the operation {operation} is about a channel or a message that is not there"
            ));
        }
    }
    ends
}

#[test]
fn every_channel_has_its_message() {
    let asyncapi = document("schemas/asyncapi.json");
    assert_eq!(asyncapi["asyncapi"], "3.0.0");
    let channels = entries(&asyncapi["channels"]).count();
    assert_eq!(
        channels,
        maru_schemas::documents::schemas().len(),
        "a channel for each message kind"
    );
    assert_eq!(
        entries(&asyncapi["operations"]).count(),
        channels,
        "an operation for each channel"
    );
    assert_eq!(loose_ends(&asyncapi), Vec::<String>::new());
}

#[test]
fn a_channel_whose_message_is_gone_is_found() {
    let mut asyncapi = document("schemas/asyncapi.json");
    let messages = asyncapi["components"]["messages"].as_object_mut().expect("messages");
    messages
        .shift_remove("maru.books.create_book.v1")
        .expect("a message to take away");
    let ends = loose_ends(&asyncapi);
    assert!(
        ends.iter().any(|end| end.contains("maru.books.create_book.v1")),
        "{ends:?}"
    );
}
