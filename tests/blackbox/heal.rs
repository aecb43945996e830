//! A database that has lost something, and what people see after the next start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::house::{House, eventually, maru_up, one_process_only, root};
use crate::person::Person;
use crate::refused_starts::refused;

const CARD: &str = "4242424242424242";
const SAYS: &str = "the database had lost something";

/// `maru heal` on a house's data.
async fn maru_heal(house: &House, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command.current_dir(root()).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
        .args(["heal", "--json", "--data"])
        .arg(house.data())
        .args(options);
    tokio::task::spawn_blocking(move || command.output().expect("maru heal"))
        .await
        .expect("maru heal")
}

async fn report(house: &House, options: &[&str]) -> Value {
    let told = maru_heal(house, options).await;
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).expect("a report")
}

/// What `maru doctor` says of the last start.
async fn last_start(house: &House) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command.current_dir(root()).stdin(Stdio::null());
    command.args(["doctor", "--json", "--data"]).arg(house.data());
    let told = tokio::task::spawn_blocking(move || command.output().expect("maru doctor")).await;
    let told: Value = serde_json::from_slice(&told.expect("maru doctor").stdout).expect("findings");
    let findings = told["findings"].as_array().expect("findings");
    let found = findings.iter().find(|one| one["what"] == "last start");
    found.expect("the last start").clone()
}

/// SIGKILL, and waits until its nats-server is gone too.
async fn kill(house: &House) {
    let server = format!("/proc/{}", house.nats_pid().expect("a nats-server"));
    house.kill().await;
    eventually("its server is gone", async || {
        (!Path::new(&server).exists()).then_some(())
    })
    .await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// Everything that these people can see.
async fn seen(people: &[&Person], books: &[String]) -> BTreeMap<String, Value> {
    let lists = ["/v1/books", "/v1/me/books", "/v1/me/library", "/v1/payments"].map(str::to_owned);
    let details = books
        .iter()
        .flat_map(|book| [format!("/v1/books/{book}"), format!("/v1/books/{book}/reviews")]);
    let paths: Vec<String> = lists.into_iter().chain(details).collect();
    let mut seen = BTreeMap::new();
    for person in people {
        for path in &paths {
            let reply = person.get(path).await;
            seen.insert(format!("{} {path}", person.username), json!([reply.status, reply.json]));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn with_yesterdays_database_people_see_todays_things() {
    if one_process_only("the embedded database is healed at the start of its process") {
        return;
    }
    let house = House::new().await;
    let (author, reader) = (house.author("author").await, house.reader("reader").await);
    let mut books = vec![author.publishes("Of yesterday", 100).await];
    reader.buys(&books[0], CARD, "COMPLETED").await;
    house.settles().await;
    assert!(house.stop().await.success());
    let (db, yesterday) = (house.data().join("db"), house.folder.path().join("yesterday"));
    copy(&db, &yesterday);

    house.start().await;
    let newcomer = house.author("newcomer").await;
    books.push(newcomer.publishes("Of today", 200).await);
    reader.buys(&books[1], CARD, "COMPLETED").await;
    let change = json!({ "title": "Of yesterday, mended" });
    author.patch(&format!("/v1/books/{}", books[0]), change).await.is(200);
    let review = json!({ "rating": 4.5, "content": "Warm" });
    reader
        .post(&format!("/v1/books/{}/reviews", books[1]), review)
        .await
        .is(201);
    let refused = reader
        .patch(&format!("/v1/books/{}", books[0]), json!({ "price": 1 }))
        .await;
    house.settles().await;
    let people = [&author, &newcomer, &reader];
    let before = eventually("the views stand still", async || {
        let first = seen(&people, &books).await;
        (seen(&people, &books).await == first).then_some(first)
    })
    .await;
    assert!(house.stop().await.success());

    std::fs::remove_dir_all(&db).expect("away with it");
    copy(&yesterday, &db);
    let dry = report(&house, &["--dry-run"]).await;
    assert!(dry["missingEvents"].as_u64() > Some(8), "{dry}");
    assert_eq!(dry["missingEvents"], dry["healedEvents"]);
    house.allow(SAYS);
    house.start().await;
    eventually("everything is as it was", async || {
        (seen(&people, &books).await == before).then_some(())
    })
    .await;
    let start = last_start(&house).await;
    assert_eq!(start["grade"], "warn", "{start}");
    let found = start["found"].as_str().expect("words");
    assert!(
        found.contains("not been closed") && found.contains("came back"),
        "{found}"
    );
    let again = reader
        .patch(&format!("/v1/books/{}", books[0]), json!({ "price": 1 }))
        .await;
    assert_eq!(again.status, refused.status);
    author
        .patch(&format!("/v1/books/{}", books[0]), json!({ "price": 300 }))
        .await
        .is(200);
    house.ends_well().await;
    assert!(house.stop().await.success());
    let nothing = report(&house, &["--from-start", "--dry-run"]).await;
    assert_eq!(nothing["missingEvents"], 0, "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_heals_what_stands_still_and_only_looks_at_what_runs() {
    if one_process_only("the embedded database is healed at the start of its process") {
        return;
    }
    let house = House::new().await;
    let author = house.author("author").await;
    let book = author.publishes("Kept", 100).await;
    let told = maru_heal(&house, &[]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&told.stderr).contains("stop it first"),
        "{told:?}"
    );
    house.settles().await;
    assert_eq!(report(&house, &["--dry-run", "--from-start"]).await["missingEvents"], 0);
    assert!(house.stop().await.success());

    // The database is gone, and with it what the last end left word of.
    std::fs::remove_dir_all(house.data().join("db")).expect("away with it");
    let healed = report(&house, &[]).await;
    assert!(healed["healedEvents"].as_u64() > Some(2), "{healed}");
    assert_eq!(report(&house, &[]).await["events"], 0, "healed is healed");
    house.start().await;
    eventually("the views are built", async || {
        let told = author.get(&format!("/v1/books/{book}")).await;
        (told.json["title"] == "Kept").then_some(())
    })
    .await;
    house.ends_well().await;
}

/// The folders of a name, however deep.
fn folders(within: &Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(within).expect("a folder").flatten();
    let inner = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    inner
        .flat_map(|path| {
            if path.ends_with(name) {
                vec![path]
            } else {
                folders(&path, name)
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_come_back_keeps_maru_from_starting_until_it_is_told_to() {
    if one_process_only("the embedded database is healed at the start of its process") {
        return;
    }
    let mut house = House::new().await;
    house.author("author").await.publishes("Lost", 100).await;
    house.settles().await;
    assert!(house.stop().await.success());
    std::fs::remove_dir_all(house.data().join("db")).expect("away with it");
    for commands in folders(&house.data().join("nats"), "COMMANDS") {
        for block in std::fs::read_dir(commands.join("msgs"))
            .expect("its messages")
            .flatten()
        {
            std::fs::remove_file(block.path()).expect("away with it");
        }
    }
    let said = refused(maru_up(&house.data(), house.api, house.metrics)).await;
    assert!(
        said.contains("cannot be brought back") && said.contains("heal.md"),
        "{said}"
    );
    let told = maru_heal(&house, &[]).await;
    assert_eq!(told.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&told.stdout).expect("a report");
    assert_eq!(told["unhealableAggregates"], 2, "an account and a book: {told}");
    assert_eq!(told["unhealable"][0]["why"], "no_command");
    house.start_with("MARU_UNHEALED", "true").await;
    assert!(house.log().iter().any(|line| line.contains(SAYS)));
}

/// Starts a program where the machine seems to have little memory, so that the database's memtables are
/// small. None where one may not pretend.
fn little_memory(folder: &Path) -> Option<Vec<String>> {
    let told = folder.join("meminfo");
    std::fs::write(
        &told,
        "MemTotal: 921600 kB\nMemFree: 800000 kB\nMemAvailable: 800000 kB\n",
    )
    .expect("a file");
    let pretend = "mount --bind \"$0\" /proc/meminfo && exec \"$@\"";
    // Who is not root may be where a user's own namespaces are allowed.
    ["-m", "-rm"].into_iter().find_map(|spaces| {
        let under = ["unshare", spaces, "sh", "-c", pretend, told.to_str()?].map(str::to_owned);
        let tried = Command::new(&under[0]).args(&under[1..]).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success()).then(|| under.into())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_loses_at_sigkill_is_there_after_the_next_start() {
    if one_process_only("the embedded database is healed at the start of its process") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let Some(under) = little_memory(folder.path()) else {
        eprintln!("not tried: it takes root to show a process another /proc/meminfo");
        return;
    };
    let house = House::under(under).await;
    house.allow(SAYS);
    let author = house.author("author").await;
    let contents = "별".repeat(100_000);
    let (mut books, mut lost) = (Vec::new(), 0);
    for round in 0..3 {
        let write = async |nth: usize| {
            let body = json!({ "title": format!("{round} {nth}"), "contents": contents, "price": 100 });
            author.post("/v1/books", body).await.is(201).id()
        };
        for group in 0..15 {
            books.extend(join_all((0..8).map(|nth| write(group * 8 + nth))).await);
        }
        kill(&house).await;
        let missing = report(&house, &["--dry-run"]).await;
        let views = missing["brokenViews"].as_array().map_or(0, Vec::len);
        lost += missing["missingEvents"].as_u64().unwrap_or_default() + views as u64;
        eprintln!("round {round}: {missing}");
        house.start().await;
        // From the first message on, whatever the database says of itself.
        let whole = report(&house, &["--dry-run", "--from-start"]).await;
        assert_eq!(whole["missingEvents"], 0, "{whole}");
        assert_eq!(whole["healedOutcomes"], 0, "{whole}");
    }
    assert!(
        lost > 0,
        "without healing nothing would have been missing, so this has shown nothing"
    );
    for book in &books {
        let told = author.get(&format!("/v1/books/{book}/contents")).await;
        assert_eq!(told.status, 200, "{}", told.text.len());
    }
    house.ends_well().await;
    kill(&house).await;
    let whole = report(&house, &[]).await;
    assert_eq!(whole["unhealableAggregates"], 0, "{whole}");
}
