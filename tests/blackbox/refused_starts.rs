//! Where Maru cannot start it says why, in one sentence, and leaves nothing running.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::tempdir;

use crate::house::{House, free_port, maru_up, one_process_only};

/// Runs it to its end, and returns the one sentence that it says.
pub async fn refused(mut command: Command) -> String {
    command.stderr(Stdio::piped()).stdout(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let child = command.spawn().expect("start maru");
    let told = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await;
    let told = told.expect("it ends by itself").expect("output");
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(told.stdout.is_empty(), "{told:?}");
    let said = String::from_utf8(told.stderr).expect("text");
    let sentences: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(sentences.len(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    sentences[0].strip_prefix("maru: ").expect("who says it").to_owned()
}

fn script(folder: &Path, says: &str) {
    let path = folder.join("nats-server");
    std::fs::write(&path, format!("#!/bin/sh\necho 'nats-server: v{says}'\n")).expect("a script");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

#[tokio::test]
async fn a_second_maru_on_the_same_data_is_refused_and_the_first_goes_on() {
    if one_process_only("`maru up` keeps a data folder and a nats-server of its own") {
        return;
    }
    let house = House::new().await;
    let mina = house.author("mina").await;
    let said = refused(maru_up(&house.data(), free_port(), free_port())).await;
    assert!(
        said.contains("in use by another Maru") && said.contains("--data"),
        "{said}"
    );
    mina.publishes("Still here", 1).await;
    house.ends_well().await;
    // Once the first has ended, its data is free again.
    assert!(house.stop().await.success());
    house.start().await;
    assert_eq!(mina.get("/v1/me/books").await.is(200).items().len(), 1);
    house.ends_well().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_option_that_chooses_another() {
    let folder = tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let said = refused(maru_up(folder.path(), port, free_port())).await;
    assert!(
        said.contains("in use") && said.contains("--api") && said.contains(&port.to_string()),
        "{said}"
    );
    let said = refused(maru_up(folder.path(), free_port(), port)).await;
    assert!(said.contains("in use") && said.contains("--metrics"), "{said}");
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "nothing was begun"
    );
}

#[tokio::test]
async fn a_missing_or_old_nats_server_is_said_with_what_to_do() {
    if one_process_only("`maru up` keeps a data folder and a nats-server of its own") {
        return;
    }
    let (elsewhere, data, old) = (tempdir().expect("x"), tempdir().expect("x"), tempdir().expect("x"));
    let mut missing = maru_up(data.path(), free_port(), free_port());
    missing.current_dir(elsewhere.path()).env("PATH", "");
    let said = refused(missing).await;
    assert!(
        said.contains("nats-server was not found") && said.contains("2.14"),
        "{said}"
    );

    script(old.path(), "2.9.10");
    let mut too_old = maru_up(data.path(), free_port(), free_port());
    too_old.current_dir(elsewhere.path()).env("PATH", old.path());
    let said = refused(too_old).await;
    assert!(said.contains("2.9.10") && said.contains("2.14"), "{said}");

    // An old one in PATH does not stand before a good one of ours.
    let path = format!("{}:/usr/bin:/bin", old.path().display());
    let house = House::with(&[("PATH", &path)]).await;
    house.author("mina").await;
    house.ends_well().await;
}

#[tokio::test]
async fn data_without_its_keys_is_not_opened_with_new_ones() {
    if one_process_only("`maru up` makes keys in its data folder") {
        return;
    }
    let house = House::new().await;
    let mut mina = house.author("mina").await;
    assert!(house.stop().await.success());
    let (keys, aside) = (house.data().join("keys"), house.data().join("aside"));
    std::fs::rename(&keys, &aside).expect("moved");
    let said = refused(maru_up(&house.data(), free_port(), free_port())).await;
    assert!(said.contains("its keys are gone") && said.contains("/keys"), "{said}");
    std::fs::rename(&aside, &keys).expect("moved back");
    house.start().await;
    mina.log_in().await;
    house.ends_well().await;
}

#[tokio::test]
async fn an_administrators_password_is_as_long_as_anybodys() {
    let folder = tempdir().expect("a folder");
    let mut command = maru_up(folder.path(), free_port(), free_port());
    command.env("MARU_ADMIN_PASSWORD", "seven77");
    let said = refused(command).await;
    assert!(
        said.contains("fewer than 8 characters") && !said.contains("seven77"),
        "{said}"
    );
}
