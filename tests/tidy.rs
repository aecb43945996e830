//! The house stays in order: who may name whom, what deciding may not do, and that what is written
//! down is there. Each rule is a test whose name is the rule; each complaint names its file and line.
//! `tidy/rules.rs` says what is looked for and what may pass, `tidy/planted.rs` shows that every rule
//! bites, and `tidy/source.rs` does the reading.

#![expect(clippy::panic, reason = "a test that fails says where")]

#[path = "tidy/log.rs"]
mod log;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeSet;

use maru_schemas::CONTEXTS;
use maru_schemas::surreal::MIGRATIONS;
use maru_schemas::views::VIEWS;
use rules::{
    BELOW, FLOORS, LONG, SHARED, abrupt, allowances, clients_named, floors, left_over, metrics, named_from_below,
    siblings_named, too_long, undescribed, unmeasured, unrepeatable, untold_variables, whole_ranges,
};
use source::{Source, files, read, root, rust, tests_only};

fn complain(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn complain_of(sources: &[Source], check: impl Fn(&Source) -> Vec<String>) {
    complain(&sources.iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn a_context_names_no_other_context() {
    for context in CONTEXTS {
        let folder = format!("workers/src/contexts/{context}");
        complain_of(&rust(&folder), |source| siblings_named(context, source));
        for (room, name, _) in SHARED.iter().filter(|(room, ..)| *room == context) {
            let is_used = rust(&folder).iter().any(|source| source.paths().contains(*name));
            assert!(
                is_used,
                "{room} does not name {name} any more: take it out of SHARED in tests/tidy/rules.rs"
            );
        }
    }
}

#[test]
fn deciding_evolving_and_reacting_never_wait_read_a_clock_or_make_ids_up() {
    let sources = rust("workers/src");
    let tests = tests_only(&sources);
    let is_pure = |path: &str| {
        let chapter = path.ends_with("/decide.rs") || path.ends_with("/evolve.rs");
        (path.starts_with("workers/src/contexts/") && chapter) || path.starts_with("workers/src/flows/")
    };
    let pure: Vec<Source> = sources
        .into_iter()
        .filter(|source| is_pure(&source.path) && !tests.contains(&source.path))
        .collect();
    assert!(
        pure.len() >= 2 * CONTEXTS.len() + 2,
        "only {} pure files were found",
        pure.len()
    );
    complain_of(&pure, unrepeatable);
}

#[test]
fn only_streams_names_the_clients_of_nats_and_surrealdb() {
    complain_of(&rust("."), clients_named);
}

#[test]
fn every_crate_stands_only_on_the_floors_below_it() {
    for (folder, may) in FLOORS {
        complain(&floors(folder, may, &read(&format!("{folder}/Cargo.toml"))));
    }
}

#[test]
fn nobody_names_a_flow_or_a_view_from_below() {
    for (room, above) in BELOW {
        complain_of(&rust(&format!("workers/src/{room}")), |source| {
            named_from_below(room, above, source)
        });
    }
}

/// The names in a folder, without endings.
fn inside(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.map(|name| name.trim_end_matches(".rs").to_owned()).collect()
}

fn is_there(path: &str) -> bool {
    root().join(path).is_file()
}

#[test]
fn every_context_has_its_contract_its_tables_its_routes_and_its_chapters() {
    let mut missing = Vec::new();
    let tables: Vec<String> = files("schemas/surreal");
    for context in CONTEXTS {
        let chapters =
            ["mod", "decide", "evolve", "tests"].map(|name| format!("workers/src/contexts/{context}/{name}.rs"));
        let homes = [
            format!("schemas/src/{context}.rs"),
            format!("gateway/src/routes/{context}.rs"),
        ];
        missing.extend(chapters.into_iter().chain(homes).filter(|path| !is_there(path)));
        let ending = format!("_{context}.surql");
        if !tables.iter().any(|table| table.ends_with(&ending)) {
            missing.push(format!("schemas/surreal/*{ending}"));
        }
    }
    complain(
        &missing
            .iter()
            .map(|path| format!("{path}:1: this should be there"))
            .collect::<Vec<_>>(),
    );
    let mut rooms = inside("workers/src/contexts");
    rooms.retain(|name| !matches!(name.as_str(), "mod" | "given"));
    assert_eq!(
        rooms,
        CONTEXTS.map(str::to_owned).into(),
        "workers/src/contexts:1 is not what maru_schemas::CONTEXTS lists"
    );
}

#[test]
fn every_view_has_its_row_its_projection_and_its_table() {
    let tables: String = MIGRATIONS.iter().map(|migration| migration.text).collect();
    for view in VIEWS {
        for path in [
            format!("schemas/src/views/{view}.rs"),
            format!("workers/src/views/{view}.rs"),
        ] {
            assert!(is_there(&path), "{path}:1: the view {view} should be there");
        }
        for table in [view.to_owned(), format!("{view}_green")] {
            assert!(
                tables.contains(&format!("DEFINE TABLE IF NOT EXISTS {table} ")),
                "schemas/surreal:1: there is no table {table}"
            );
        }
    }
    for folder in ["schemas/src/views", "workers/src/views"] {
        let mut rooms = inside(folder);
        rooms.remove("mod");
        assert_eq!(
            rooms,
            VIEWS.map(str::to_owned).into(),
            "{folder}:1 is not what maru_schemas::views::VIEWS lists"
        );
    }
}

#[test]
fn every_problem_code_has_its_sentence_in_docs_problems() {
    let page = read("docs/problems.md");
    let mut known = BTreeSet::new();
    let refusals = maru_schemas::refusal::all().into_iter();
    for entry in maru_gateway::routes::documents::all_problems().chain(refusals) {
        let row = format!("| `{}` | {} | {} |", entry.code, entry.http, entry.sentence);
        assert!(
            page.lines().any(|line| line == row),
            "docs/problems.md:1 lacks {row}; run `make docs`"
        );
        known.insert(entry.code);
    }
    for (nth, line) in page.lines().enumerate() {
        let code = line.strip_prefix("| `").and_then(|rest| rest.split('`').next());
        let is_known = code.is_none_or(|code| known.contains(code));
        assert!(
            is_known,
            "docs/problems.md:{}: {code:?} is a problem that nobody has any more",
            nth + 1
        );
    }
}

#[test]
fn every_metric_is_described_and_every_described_metric_is_measured() {
    let page = read("observability/README.md");
    let sources = rust(".");
    complain_of(&sources, |source| undescribed(source, &page));
    let measured: BTreeSet<String> = sources.iter().flat_map(metrics).filter_map(|(_, name)| name).collect();
    assert!(measured.len() > 10, "only {} metrics were found", measured.len());
    complain(&unmeasured(&page, &measured));
}

#[test]
fn every_environment_variable_stands_in_the_readme() {
    let page = read("README.md");
    complain_of(&rust("src"), |source| untold_variables(source, &page));
}

#[test]
fn nothing_but_a_test_ends_abruptly() {
    let sources = rust(".");
    let tests = tests_only(&sources);
    let house: Vec<Source> = sources
        .into_iter()
        .filter(|source| !tests.contains(&source.path))
        .collect();
    assert!(house.len() > 100, "only {} files were looked at", house.len());
    complain_of(&house, abrupt);
}

#[test]
fn no_rust_file_is_too_long_to_read() {
    complain_of(&rust("."), too_long);
    for (place, _) in LONG {
        assert!(
            root().join(place).exists(),
            "{place} is gone: take it out of LONG in tests/tidy/rules.rs"
        );
    }
}

#[test]
fn nothing_is_left_to_do_and_no_path_leads_to_somebodys_machine() {
    let readable = files(".")
        .into_iter()
        .filter_map(|path| Some((std::fs::read_to_string(root().join(&path)).ok()?, path)));
    complain(
        &readable
            .flat_map(|(text, path)| left_over(&path, &text))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_is_allowed_that_could_be_expected() {
    complain_of(&rust("."), allowances);
}

#[test]
fn a_page_of_a_range_is_not_cut_off_all_of_it() {
    for folder in ["streams", "workers", "gateway", "src"] {
        complain_of(&rust(folder), whole_ranges);
    }
}

#[test]
fn every_migration_is_there_and_they_are_numbered_in_order() {
    let mut listed = BTreeSet::new();
    for (nth, migration) in (1_i64..).zip(MIGRATIONS) {
        let path = format!("schemas/surreal/{:03}_{}.surql", migration.number, migration.name);
        assert_eq!(
            migration.number, nth,
            "schemas/src/surreal.rs:1: {} is out of order",
            migration.name
        );
        assert!(
            is_there(&path),
            "{path}:1: schemas/src/surreal.rs names it, and it is not there"
        );
        assert_eq!(
            read(&path),
            migration.text,
            "{path}:1: schemas/src/surreal.rs reads another file under this name"
        );
        listed.insert(path);
    }
    let there: BTreeSet<String> = files("schemas/surreal").into_iter().collect();
    assert_eq!(
        there, listed,
        "schemas/surreal:1 holds other files than schemas/src/surreal.rs names"
    );
}
