//! `maru verify`: it finds nothing in a Maru that keeps its word, and it does find a Maru that does not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::house::{one_process_only, root};

/// Runs it to the end: the exit code, and the report.
async fn verify(arguments: &[&str]) -> (Option<i32>, Value) {
    let ended = Command::new(env!("CARGO_BIN_EXE_maru"))
        .current_dir(root())
        .arg("verify")
        .arg("--json")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("run maru verify");
    let (report, words) = (&ended.stdout, String::from_utf8_lossy(&ended.stderr));
    let report = serde_json::from_slice(report).unwrap_or_else(|error| panic!("no report ({error}):\n{words}"));
    (ended.status.code(), report)
}

/// A folder of the test's own, not there yet.
fn folder(of: &tempfile::TempDir) -> String {
    of.path().join("scratch").display().to_string()
}

#[tokio::test]
async fn a_maru_that_is_killed_frozen_and_cut_off_keeps_its_word() {
    if one_process_only("`maru verify` makes installations of its own") {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    let (code, report) = verify(&["--for", "16s", "--people", "6", "--folder", &folder(&place)]).await;
    assert_eq!(
        (code, &report["findings"]),
        (Some(0), &Value::Array(Vec::new())),
        "{report:#}"
    );
    for campaign in ["crash", "freeze", "cut", "repeated-kill"] {
        let faults = report["faults"].as_array().expect("faults");
        assert!(
            faults.iter().any(|fault| fault["campaign"] == campaign),
            "{campaign}: {report:#}"
        );
    }
    let accepted = report["requests"]["commandsAccepted"].as_u64();
    assert!(accepted > Some(20), "{report:#}");
    assert!(report["found"]["commands"].as_u64() >= accepted, "{report:#}");
    assert!(!Path::new(&folder(&place)).exists(), "nothing is left behind");
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn gateways_workers_and_servers_that_are_killed_one_by_one_keep_their_word() {
    if one_process_only("`maru verify` makes installations of its own") {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder(&place);
    let campaign = ["--campaign", "repeated-kill", "--for", "25s", "--people", "6"];
    let arguments = [&campaign[..], &["--split", "2", "--folder", &folder]].concat();
    let (code, report) = verify(&arguments).await;
    assert_eq!(
        (code, &report["findings"]),
        (Some(0), &Value::Array(Vec::new())),
        "{report:#}"
    );
    assert!(report["found"]["commands"].as_u64() > Some(20), "{report:#}");
    assert!(!Path::new(&folder).exists(), "nothing is left behind");
}

#[tokio::test]
async fn verify_finds_an_ack_before_commit() {
    if one_process_only("`maru verify` makes installations of its own") {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    // The build to prove is this very test program, told to be a Maru with that bug.
    let program = place.path().join("maru");
    let myself = std::env::current_exe().expect("this program");
    let planted = "planted::a_maru_that_acknowledges_before_it_commits";
    let script = format!(
        "#!/bin/sh\nexec '{}' --exact {planted} --ignored --nocapture\n",
        myself.display()
    );
    std::fs::write(&program, script).expect("write the script");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("make it a program");
    let program = program.display().to_string();
    let arguments = [
        "--program",
        &program,
        "--campaign",
        "repeated-kill",
        "--for",
        "15s",
        "--folder",
        &folder(&place),
    ];
    let (code, report) = verify(&arguments).await;
    assert_eq!(code, Some(1), "{report:#}");
    let findings = report["findings"].as_array().expect("findings");
    let is_named = |finding: &Value| {
        let detail = finding["detail"].as_str().unwrap_or_default();
        finding["code"] == "not_processed" && detail.contains("it was accepted")
    };
    assert!(findings.iter().any(is_named), "{report:#}");
    // It is the only bug there: what else is found follows from it.
    let follows = ["not_processed", "no_last_word", "unfinished"];
    let other: Vec<_> = findings
        .iter()
        .filter(|finding| !follows.iter().any(|code| finding["code"] == *code))
        .collect();
    assert!(other.is_empty(), "{other:#?}");
}
