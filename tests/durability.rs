//! "Accepted" says what it is worth, and says it truthfully: what the servers do is read from them.
//! Run as the parts that others run: `maru streams`, `maru gateway`, against a nats-server of their own.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use maru_streams::server::{NatsServer, ServerOptions, find};

struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nats(folder: &Path, sync_always: bool) -> NatsServer {
    let program = find(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".maru/bin")).unwrap();
    let data = folder.join("nats");
    NatsServer::start(ServerOptions {
        program,
        data,
        port: None,
        sync_always,
    })
    .unwrap()
}

fn port() -> String {
    format!(
        "127.0.0.1:{}",
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    )
}

fn maru(server: &NatsServer, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command
        .env("NATS_URL", server.url())
        .env("NATS_MONITOR_URL", server.monitor())
        .env("MARU_DB_URL", format!("surrealkv://{}", folder.join("db").display()))
        .env("MARU_KEYS", folder.join("keys"))
        .env("MARU_METRICS", port())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

fn streams(server: &NatsServer, folder: &Path, what: &str) -> Output {
    maru(server, folder).args(["streams", what]).output().unwrap()
}

/// What `/readyz` of a gateway on this server says.
async fn told(server: &NatsServer, folder: &Path) -> String {
    let api = port();
    let gateway = maru(server, folder)
        .arg("gateway")
        .env("MARU_API", &api)
        .spawn()
        .unwrap();
    let _gateway = Gateway(gateway);
    let since = Instant::now();
    loop {
        if let Ok(answer) = reqwest::get(format!("http://{api}/readyz")).await
            && answer.status().is_success()
        {
            let answer: serde_json::Value = answer.json().await.unwrap();
            return answer["durability"].as_str().unwrap().to_owned();
        }
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "the gateway did not get ready"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_writes_through_is_told_from_one_that_does_not() {
    for (sync_always, durability) in [(true, "fsynced"), (false, "buffered")] {
        let folder = tempfile::tempdir().unwrap();
        let server = nats(folder.path(), sync_always);
        assert!(streams(&server, folder.path(), "apply").status.success());
        assert_eq!(told(&server, folder.path()).await, durability);
    }
}

#[tokio::test]
async fn production_does_not_start_where_a_power_cut_would_lose_what_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let server = nats(folder.path(), false);
    assert!(streams(&server, folder.path(), "apply").status.success());
    let ended = maru(&server, folder.path())
        .args(["gateway", "--production"])
        .env("MARU_API", port())
        .output()
        .unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.lines().any(|line| line.starts_with("maru: in production")),
        "{said}"
    );
}

#[tokio::test]
async fn the_streams_are_planned_before_they_are_made_and_then_there_is_nothing_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let server = nats(folder.path(), true);
    let said = |output: Output| String::from_utf8(output.stdout).unwrap();
    assert!(said(streams(&server, folder.path(), "plan")).contains("+ stream COMMANDS"));
    assert!(said(streams(&server, folder.path(), "apply")).contains("+ consumer JOBS/job-write_story"));
    assert_eq!(
        said(streams(&server, folder.path(), "plan")).trim(),
        "nothing to change"
    );
}

#[tokio::test]
async fn a_worker_that_there_is_none_of_is_a_typing_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let server = nats(folder.path(), true);
    let ended = maru(&server, folder.path())
        .args(["workers", "--only", "write_storry"])
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("write_story"), "{said}");
}
