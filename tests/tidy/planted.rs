//! Every rule bites: for each, a piece of disorder that it has to see, and a piece of order beside it
//! that it has to leave alone.

use std::collections::BTreeSet;

use super::rules::{
    BELOW, FLOORS, LINES, abrupt, allowances, clients_named, floors, left_over, metrics, named_from_below,
    siblings_named, too_long, undescribed, unmeasured, unrepeatable, untold_variables, whole_ranges,
};
use super::source::{Source, tests_only};

const DECIDE: &str = "workers/src/contexts/books/decide.rs";

/// Every line of disorder is complained of once, by its line.
fn each_line_is_seen(check: impl Fn(&Source) -> Vec<String>, path: &str, lines: &[&str]) {
    for line in lines {
        let complaints = check(&Source::new(path, &format!("// first\n{line}\n")));
        assert!(!complaints.is_empty(), "nobody saw {line}");
        assert!(
            complaints[0].starts_with(&format!("{path}:2: ")),
            "{line} is seen elsewhere: {complaints:?}"
        );
    }
}

fn nothing_is_seen(check: impl Fn(&Source) -> Vec<String>, path: &str, text: &str) {
    assert_eq!(check(&Source::new(path, text)), Vec::<String>::new());
}

#[test]
fn a_sibling_is_seen_however_it_is_named() {
    let check = |source: &Source| siblings_named("books", source);
    let lines = [
        "use crate::contexts::members::State;",
        "use crate::{contexts::{books::State, payments}, house};",
        "use super::super::members::State;",
        "use maru_schemas::{ids, reviews};",
        "use maru_schemas::reviews as theirs;",
        "use maru_schemas::payments::TestCard;",
        "use maru_schemas::*;",
        "fn f() { let x = maru_schemas::members::CONTEXT; }",
        "fn f() -> maru_schemas::reviews::Review { g() }",
        "fn f() { matches!(x, Some(crate::contexts::members::State { .. })); }",
        "mod inner { use super::super::super::reviews::State; }",
        "fn f() { store.read(\"members_profile\"); }",
        "fn f() { store.query(r#\"payments:[1]\"#); }",
        "fn f() { store.query(\"SELECT * FROM members_profile\"); }",
    ];
    each_line_is_seen(check, DECIDE, &lines);
    let fine = "//! Unlike crate::contexts::members.\nuse maru_schemas::{books::Book, ids, jobs, message};\n\
        use super::{State, evolve::evolve};\nuse maru_streams::contract::By; // maru_schemas::members\n\
        const TABLE: &str = \"books_edition\"; const SAID: &str = \"the members of a family\";\n";
    nothing_is_seen(check, DECIDE, fine);
}

#[test]
fn only_the_named_exception_passes() {
    let check = |source: &Source| siblings_named("purchases", source);
    let path = "workers/src/contexts/purchases/decide.rs";
    nothing_is_seen(check, path, "use maru_schemas::payments::TestCard;\n");
    each_line_is_seen(
        check,
        path,
        &["use maru_schemas::payments::Status;", "use maru_schemas::payments;"],
    );
}

#[test]
fn waiting_clocks_and_dice_are_seen() {
    let lines = [
        "async fn decide() {}",
        "fn f() { let x = async { 1 }; }",
        "fn f() { let now = Timestamp::now(); }",
        "fn f() { let now = jiff::Timestamp :: now (); }",
        "fn f(clock: &Clock) { let x = clock.now(); }",
        "use std::time::Instant;",
        "fn f() { json!({ \"at\": std::time::SystemTime::UNIX_EPOCH }); }",
        "fn f() { Uuid::new_v4(); }",
        "fn f() { Uuid::now_v7(); }",
        "fn f() { new_id(); }",
        "use rand::Rng;",
    ];
    each_line_is_seen(unrepeatable, DECIDE, &lines);
    let fine = "//! No async, no Timestamp::now().\n/* rand /* Instant */ Uuid::new_v4() */\n\
        fn decide(now: Timestamp) { f(now); g(\"async rand\"); h('\"'); let x: &'static str = \"\\\"Instant\"; }\n";
    nothing_is_seen(unrepeatable, DECIDE, fine);
}

#[test]
fn clients_are_seen_outside_their_room() {
    let lines = [
        "use async_nats::Client;",
        "fn f(db: surrealdb::Surreal<Any>) {}",
        "fn f() { dbg!(async_nats::connect()); }",
    ];
    each_line_is_seen(clients_named, "gateway/src/door.rs", &lines);
    each_line_is_seen(clients_named, "workers/src/views/book_home.rs", &lines[..1]);
    nothing_is_seen(clients_named, "workers/src/views/book_home.rs", lines[1]);
    nothing_is_seen(clients_named, "streams/src/nats.rs", &lines.join("\n"));
    nothing_is_seen(
        clients_named,
        "src/telemetry.rs",
        "const LOG: &str = \"async_nats=warn\"; // surrealdb\n",
    );
}

#[test]
fn a_crate_on_a_wrong_floor_is_seen() {
    let (folder, may) = FLOORS[3];
    for line in [
        "maru-workers.workspace = true",
        "maru = { path = \"..\", package = \"maru-workers\" }",
        "w = { path = \"../workers\" }",
    ] {
        let manifest = format!("[package]\nname = \"maru-gateway\"\n\n[dev-dependencies]\n{line}\n");
        let complaints = floors(folder, may, &manifest);
        assert!(
            complaints
                .first()
                .is_some_and(|first| first.starts_with("gateway/Cargo.toml:5: ")),
            "{line}: {complaints:?}"
        );
    }
    let section = "[dependencies.maru-workers]\nworkspace = true\n";
    assert_eq!(floors(folder, may, section).len(), 1);
    let fine = "[package]\nname = \"maru-other\"\n[dependencies]\nmaru-streams.workspace = true # not maru-workers\n";
    assert_eq!(floors(folder, may, fine), Vec::<String>::new());
}

#[test]
fn naming_upwards_is_seen() {
    let rule = |room: &'static str| {
        let above = BELOW
            .iter()
            .find(|(name, _)| *name == room)
            .map_or(&[][..], |(_, above)| above);
        move |source: &Source| named_from_below(room, above, source)
    };
    let lines = [
        "use crate::flows::checkout;",
        "use crate::{facts::Fact, views};",
        "use super::super::super::jobs::Tools;",
        "fn f() { crate::ports::bank::ask(); }",
        "use maru_schemas::views::BookHome;",
        "use crate::*;",
    ];
    each_line_is_seen(rule("contexts"), DECIDE, &lines);
    each_line_is_seen(
        rule("flows"),
        "workers/src/flows/checkout.rs",
        &["use crate::jobs;", "use super::super::views;"],
    );
    let fine =
        "use maru_schemas::jobs::Job;\nuse maru_streams::jobs::Delivery;\nuse crate::facts::Fact;\nmod jobs {}\n";
    nothing_is_seen(rule("flows"), "workers/src/flows/checkout.rs", fine);
}

#[test]
fn an_untold_metric_and_an_unmeasured_one_are_seen() {
    let page = "| `maru_told_total` | counter |\n| `maru_told_seconds_bucket` |\n";
    let check = |source: &Source| undescribed(source, page);
    let lines = [
        "fn f() { metrics::counter!(\"maru_untold_total\").increment(1); }",
        "fn f() { gauge!(\n\"maru_told\", \"lane\" => lane); }",
        "fn f() { metrics::histogram!(NAME).record(1.0); }",
    ];
    each_line_is_seen(check, "src/up.rs", &lines);
    let fine = Source::new(
        "src/up.rs",
        "fn f() { counter!(\n  \"maru_told_total\"); histogram!(\"maru_told_seconds\"); }",
    );
    let measured: BTreeSet<String> = metrics(&fine).into_iter().filter_map(|(_, name)| name).collect();
    assert_eq!(unmeasured(page, &measured), Vec::<String>::new());
    let gone = format!("{page}`sum(rate(maru_gone_total[5m]))`");
    assert_eq!(
        unmeasured(&gone, &measured),
        ["observability/README.md:3: nobody measures maru_gone_total"]
    );
}

#[test]
fn an_untold_variable_is_seen() {
    let check = |source: &Source| untold_variables(source, "| `MARU_DATA_FOLDER` | `MARU_API` |");
    each_line_is_seen(
        check,
        "src/up.rs",
        &["struct A { #[arg(long, env = \"MARU_DATA\")] data: PathBuf }"],
    );
    nothing_is_seen(
        check,
        "src/up.rs",
        "struct A { #[arg(long, env = \"MARU_API\")] api: String }",
    );
}

#[test]
fn an_abrupt_end_is_seen_outside_tests_only() {
    let lines = [
        "fn f() { x.unwrap(); }",
        "fn f() { x.expect(\"so\"); }",
        "fn f() { xs.map(Option::unwrap); }",
        "fn f() { panic!(\"no\"); }",
        "fn f() { todo!() }",
        "fn f() { std::unimplemented!() }",
        "#[cfg(test)] use a::{b, c}; fn f() { x.unwrap(); }",
        "#[cfg(test)] mod tests { fn g() { y.unwrap(); } } fn f() { x.unwrap(); }",
        "#[cfg(test)] mod given; fn f() { x.unwrap(); }",
    ];
    each_line_is_seen(abrupt, "src/up.rs", &lines);
    let fine = "#[expect(dead_code, reason = \"unwrap()\")]\nfn f() { x.unwrap_or_default(); x.unwrap_or_else(g); } // x.unwrap()\n\
        #[cfg(test)]\nmod tests {\n    #[test]\n    fn g() { x.unwrap(); panic!(); }\n}\n";
    nothing_is_seen(abrupt, "src/up.rs", fine);
}

#[test]
fn files_for_tests_are_known_by_their_place_or_their_declaration() {
    let sources = [
        Source::new(
            "workers/src/contexts/mod.rs",
            "pub mod books;\n#[cfg(test)]\nmod given;\n",
        ),
        Source::new("workers/src/contexts/given.rs", ""),
        Source::new(
            "workers/src/contexts/books/mod.rs",
            "mod decide;\n#[cfg(test)]\nmod samples;\n",
        ),
        Source::new("workers/src/contexts/books/samples/more.rs", ""),
        Source::new("workers/src/contexts/books/decide.rs", ""),
        Source::new("streams/src/testing/world.rs", ""),
        Source::new("streams/tests/machinery/main.rs", ""),
    ];
    let found: Vec<String> = tests_only(&sources).into_iter().collect();
    let tests = [&sources[5], &sources[6], &sources[3], &sources[1]].map(|source| source.path.clone());
    assert_eq!(found, tests);
}

#[test]
fn a_file_that_is_too_long_is_seen() {
    let long = "\n".repeat(LINES + 1);
    assert_eq!(too_long(&Source::new("src/up.rs", &long)).len(), 1);
    nothing_is_seen(too_long, "src/up.rs", &long[1..]);
    nothing_is_seen(too_long, "workers/src/ports/sketch/words.rs", &long);
}

#[test]
fn what_is_left_over_is_seen() {
    for left in [
        concat!("// TO", "DO: mend this"),
        concat!("FIX", "ME"),
        concat!("path = \"/ro", "ot/.cache\""),
        concat!("cd /wo", "rk/main"),
        concat!("WORKDIR /wo", "rk"),
    ] {
        assert_eq!(left_over("a.md", &format!("\n{left}\n")).len(), 1, "nobody saw {left}");
    }
    let fine =
        "maru/workers, /workers, https://maru.example/work/1, ./root, $(pwd)/root, ~/work, TODOS, /root-less, a/root";
    assert_eq!(left_over("a.md", fine), Vec::<String>::new());
}

#[test]
fn an_allowance_is_seen() {
    let lines = [
        "#[allow(dead_code)] fn f() {}",
        "#![allow(missing_docs)]",
        "#[cfg_attr(test, allow(dead_code))] fn f() {}",
        "macro_rules! m { () => { #[allow(unused)] fn f() {} } }",
    ];
    each_line_is_seen(allowances, "src/up.rs", &lines);
    let fine = "#[expect(dead_code, reason = \"allow(x)\")] fn f() { allow(1); [a, b]; }\n#[arg(allow_hyphen_values = true)] struct A;";
    nothing_is_seen(allowances, "src/up.rs", fine);
}

#[test]
fn a_page_of_a_range_that_is_read_whole_is_seen() {
    let lines = [
        "const PAGE: &str = \"SELECT * FROM $range LIMIT $limit\";",
        "fn f() { q(\"(SELECT VALUE id FROM $place LIMIT 1)\") }",
    ];
    each_line_is_seen(whole_ranges, "streams/src/store.rs", &lines);
    let fine = "fn f() { q(\"SELECT * FROM array::first([$range]) LIMIT 1\"); q(\"SELECT * FROM outbox LIMIT 1\"); q(\"SELECT * FROM $ids\") }";
    nothing_is_seen(whole_ranges, "streams/src/store.rs", fine);
}
