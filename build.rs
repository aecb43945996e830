//! Which commit a release is built from, for `maru_build_info`: what `MARU_COMMIT` says where there is no git, else
//! what git says. While one develops it is `unknown`, because asking would build the binary anew at each commit.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MARU_COMMIT");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = std::env::var("MARU_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = commit.or_else(|| is_release.then(from_git).flatten());
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=MARU_COMMIT={commit}");
}

fn from_git() -> Option<String> {
    let moves = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={moves}");
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    (answer.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
