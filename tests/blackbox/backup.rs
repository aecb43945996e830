//! Backups, and what is restored from them; `maru drill` practises both under load.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::form::one_process_only;
use crate::house::{House, eventually, root};

const CARD: &str = "4242424242424242";
const FOLDERS: &str = "it restores the folder of `maru up`; a drill restores servers";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command.current_dir(root()).stdin(Stdio::null()).env_remove("RUST_LOG");
    for name in ["NATS_URL", "MARU_DB_URL", "MARU_DB_USER", "MARU_DB_PASSWORD"] {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

async fn maru(arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("maru"))
        .await
        .expect("maru")
}

/// What it says, if it ended well.
async fn told(arguments: &[&str]) -> Value {
    let ended = maru(arguments).await;
    let why = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "maru {arguments:?}: {why}");
    serde_json::from_slice(&ended.stdout).expect("an answer")
}

/// What it says when it refuses.
async fn refused(arguments: &[&str]) -> String {
    let ended = maru(arguments).await;
    assert_eq!(ended.status.code(), Some(1), "maru {arguments:?} was not refused");
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn backing_up<'a>(to: &'a Path, data: &'a Path) -> [&'a str; 8] {
    let (to, data) = (text(to), text(data));
    ["backup", "--json", "--to", to, "--data", data, "--keep", "1"]
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

fn messages(taken: &Value, stream: &str) -> u64 {
    let parts = taken["manifest"]["streams"].as_array().expect("streams");
    let part = parts.iter().find(|part| part["name"] == stream).expect("the stream");
    part["messages"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_when_a_backup_was_begun_is_there_after_it_was_restored() {
    if one_process_only(FOLDERS) {
        return;
    }
    let house = House::new().await;
    let (mut author, mut reader) = (house.author("author").await, house.reader("reader").await);
    let book = author.publishes("Kept", 100).await;
    let purchase = reader.buys(&book, CARD, "COMPLETED").await;
    let place = tempfile::tempdir().expect("a folder");
    let (to, data) = (place.path().join("backups"), house.data());
    let backing_up = backing_up(&to, &data);
    let first = told(&backing_up).await;
    let later = author.publishes("Came later", 100).await;
    house.settles().await;
    assert!(house.stop().await.success());
    // Where nobody runs, the command opens the folder itself.
    let stopped = told(&[&backing_up[..6], &["--keep", "2"]].concat()).await;
    assert!(messages(&stopped, "COMMANDS") > messages(&first, "COMMANDS"));
    assert!(messages(&first, "EVENTS") >= 5, "{first:#}");
    assert_eq!(stopped["gone"], Value::Array(Vec::new()));

    let (from, restored) = (
        PathBuf::from(first["folder"].as_str().expect("a folder")),
        House::new().await,
    );
    assert!(restored.stop().await.success());
    let (from, there) = (text(&from).to_owned(), restored.data());
    let restoring = ["restore", "--json", "--from", &from, "--data", text(&there)];
    let said = refused(&restoring).await;
    assert!(
        said.contains("empty installation only") && said.contains("--data"),
        "{said}"
    );
    std::fs::remove_dir_all(&there).expect("away with it");
    let report = told(&restoring).await;
    assert_eq!(report["healed"]["unhealableAggregates"], 0, "{report}");
    copy(&data.join("keys"), &there.join("keys"));
    restored.start().await;
    for person in [&mut author, &mut reader] {
        person.base = restored.url();
        person.log_in().await;
    }
    author.sees_book(&book, "title", "Kept").await;
    reader
        .sees_purchase(purchase["id"].as_str().expect("an id"), "COMPLETED")
        .await;
    // It came after the backup.
    author
        .get(&format!("/v1/books/{later}"))
        .await
        .refused_as(404, "BOOKS_NO_SUCH_BOOK");
    let another = author.publishes("And on it goes", 100).await;
    reader.buys(&another, CARD, "COMPLETED").await;
    restored.ends_well().await;
}

/// The disk of the database is lost, and the streams have lived on.
#[tokio::test(flavor = "multi_thread")]
async fn with_last_nights_database_under_todays_streams_nothing_is_lost() {
    if one_process_only(FOLDERS) {
        return;
    }
    let house = House::new().await;
    let (author, reader) = (house.author("author").await, house.reader("reader").await);
    let book = author.publishes("Of yesterday", 100).await;
    let place = tempfile::tempdir().expect("a folder");
    let (to, data) = (place.path().join("backups"), house.data());
    let backing_up = backing_up(&to, &data);
    let taken = told(&backing_up).await;
    let from = taken["folder"].as_str().expect("a folder").to_owned();
    let later = author.publishes("Of today", 100).await;
    let purchase = reader.buys(&later, CARD, "COMPLETED").await;
    house.settles().await;
    assert!(house.stop().await.success());

    let restoring = [
        "restore",
        "--json",
        "--database-only",
        "--from",
        &from,
        "--data",
        text(&data),
    ];
    let said = refused(&restoring).await;
    assert!(said.contains("has a database in it"), "{said}");
    for part in ["db", "closed.json"] {
        std::fs::rename(data.join(part), place.path().join(part)).expect("out of the way");
    }
    let said = refused(&["restore", "--from", &from, "--data", text(&data)]).await;
    assert!(said.contains("has an installation in it"), "{said}");
    let checked = told(&[&restoring[..], &["--check"]].concat()).await;
    assert_eq!(checked["nothingInTheWay"], true);
    assert!(!data.join("db").exists(), "nothing was changed");
    let report = told(&restoring).await;
    assert_eq!(report["healed"]["unhealableAggregates"], 0, "{report}");
    assert!(report["healed"]["healedEvents"].as_u64() >= Some(3), "{report}");

    house.start().await;
    author.sees_book(&book, "title", "Of yesterday").await;
    author.sees_book(&later, "title", "Of today").await;
    let purchase = purchase["id"].as_str().expect("an id");
    reader.sees_purchase(purchase, "COMPLETED").await;
    reader.get(&format!("/v1/books/{later}/contents")).await.is(200);
    house.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_damaged_or_was_not_finished_is_not_restored() {
    if one_process_only(FOLDERS) {
        return;
    }
    let house = House::new().await;
    house.author("author").await.publishes("Kept", 100).await;
    let place = tempfile::tempdir().expect("a folder");
    let (to, data, there) = (
        place.path().join("backups"),
        house.data(),
        place.path().join("restored"),
    );
    let backing_up = backing_up(&to, &data);
    let taken = told(&backing_up).await;
    let whole = PathBuf::from(taken["folder"].as_str().expect("a folder"));
    for (file, damage) in [
        ("EVENTS.tar.s2", true),
        ("database.surql", true),
        ("manifest.json", false),
    ] {
        let damaged = place.path().join(format!("without-{file}"));
        copy(&whole, &damaged);
        let path = damaged.join(file);
        if damage {
            let mut bytes = std::fs::read(&path).expect("a file");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).expect("a file");
        } else {
            std::fs::remove_file(&path).expect("away with it");
        }
        let said = refused(&["restore", "--from", text(&damaged), "--data", text(&there)]).await;
        let wanted = if damage { "is damaged" } else { "it was not finished" };
        assert!(said.contains(wanted), "{file}: {said}");
        assert!(!there.exists(), "nothing was written");
    }

    let halves = || {
        let folders = std::fs::read_dir(&to).expect("a folder").flatten();
        let mut folders = folders.map(|entry| entry.path()).filter(|path| path.is_dir());
        folders.find(|path| *path != whole)
    };
    let half = killed_in_the_middle(&backing_up[..6], &halves).await;
    let said = refused(&["restore", "--from", text(&half), "--data", text(&there)]).await;
    assert!(said.contains("it was not finished"), "{said}");
    let next = told(&backing_up).await;
    let gone: Vec<&str> = next["gone"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(gone.contains(&text(&half)) && gone.contains(&text(&whole)), "{gone:?}");
    house.ends_well().await;
}

/// Kills a backup after it began and before it was whole; one that was quicker than that is taken away, and
/// another one killed.
async fn killed_in_the_middle(arguments: &[&str], half: &impl Fn() -> Option<PathBuf>) -> PathBuf {
    for _ in 0..20 {
        let mut child = command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("maru");
        let place = loop {
            if let Some(place) = half() {
                break place;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        child.kill().expect("kill it");
        child.wait().expect("its end");
        if !place.join("manifest.json").exists() {
            return place;
        }
        std::fs::remove_dir_all(place).expect("away with it");
    }
    panic!("every backup was quicker than its killer");
}

async fn drill(arguments: &[&str]) {
    let arguments = [&["drill", "--json", "--seconds", "2"], arguments].concat();
    let report = told(&arguments).await;
    assert_eq!(report["findings"], Value::Array(Vec::new()), "{report:#}");
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    assert!(number("/acceptedBefore") > 5, "{report:#}");
    assert!(
        number("/accepted") > number("/acceptedBefore"),
        "it was taken under load: {report:#}"
    );
    assert!(number("/acceptedAfter") > 5, "{report:#}");
    assert!(number("/found/commands") >= number("/acceptedBefore"), "{report:#}");
}

#[tokio::test]
async fn a_drill_restores_what_was_backed_up_under_load() {
    drill(&[]).await;
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn a_drill_restores_servers_of_ones_own() {
    drill(&["--split"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backups_at_once_do_not_disturb_each_other() {
    let house = House::new().await;
    house.author("author").await.publishes("Kept", 100).await;
    let place = tempfile::tempdir().expect("a folder");
    let to = place.path().join("backups");
    std::fs::create_dir_all(&to).expect("a folder");
    let lock = std::fs::File::create(to.join("lock")).expect("a file");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("the lock");
    let backing_up = ["backup", "--json", "--to", text(&to)];
    let refused = house.operator(&backing_up, &[]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("another backup is being taken"), "{said}");
    drop(lock);
    eventually("the next one is taken", async || {
        house.operator(&backing_up, &[]).await.status.success().then_some(())
    })
    .await;
}
