//! Every warning and every error that can stand in the log is in the catalogue, `docs/operating/logs.md`, with
//! its level and with what to do about it; and what is in the catalogue can stand in the log.

use std::collections::BTreeSet;

use super::source::{Kind, Source, Word, read, rust, tests_only, without_tests};

const PAGE: &str = "docs/operating/logs.md";

/// A level, and the words of a line.
type Line = (&'static str, String);

/// The warnings and errors that a file writes, with their lines; None for words that are not written out.
fn complaints_of(words: &[Word]) -> Vec<(usize, &'static str, Option<String>)> {
    let mut found = Vec::new();
    for (nth, window) in words.windows(6).enumerate() {
        let texts = [0, 1, 2, 3, 4, 5].map(|at| window[at].text.as_str());
        let level = match texts {
            ["tracing", ":", ":", "warn", "!", "("] => "WARN",
            ["tracing", ":", ":", "error", "!", "("] => "ERROR",
            _ => continue,
        };
        found.push((window[0].line, level, said(&words[nth + 6..])));
    }
    found
}

/// The sentence among the arguments: the text that is no field's value.
fn said(words: &[Word]) -> Option<String> {
    let (mut depth, mut before) = (1_usize, "(");
    for word in words {
        match (word.kind == Kind::Mark, word.text.as_str()) {
            (true, "(" | "[" | "{") => depth += 1,
            (true, ")" | "]" | "}") => depth -= 1,
            _ if depth == 1 && word.kind == Kind::Text && matches!(before, "(" | ",") => {
                return Some(word.text.clone());
            }
            _ => {}
        }
        if depth == 0 {
            return None;
        }
        before = &word.text;
    }
    None
}

/// The rows of the catalogue, with their lines.
fn rows(page: &str) -> Vec<(usize, Line)> {
    let row = |(nth, line): (usize, &str)| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let level = match cells.next()? {
            "WARN" => "WARN",
            "ERROR" => "ERROR",
            _ => return None,
        };
        let words = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        let (fields, meaning) = (cells.next()?, cells.next()?.trim_end_matches('|'));
        (!fields.is_empty() && meaning.len() > 20).then(|| (nth + 1, (level, words.to_owned())))
    };
    page.lines().enumerate().filter_map(row).collect()
}

fn untold(path: &str, words: &[Word], told: &BTreeSet<Line>) -> Vec<String> {
    let complaint = |(line, level, words): (usize, &'static str, Option<String>)| match words {
        None => Some(format!(
            "{path}:{line}: write the words of the line out, so that they can be found"
        )),
        Some(words) if told.contains(&(level, words.clone())) => None,
        Some(words) => Some(format!("{path}:{line}: {PAGE} does not tell of {level} `{words}`")),
    };
    complaints_of(words).into_iter().filter_map(complaint).collect()
}

fn unsaid(rows: &[(usize, Line)], said: &BTreeSet<Line>) -> Vec<String> {
    let gone = rows.iter().filter(|(_, line)| !said.contains(line));
    gone.map(|(nth, (level, words))| format!("{PAGE}:{nth}: nobody says {level} `{words}`"))
        .collect()
}

#[test]
fn every_warning_and_error_is_in_the_catalogue_and_no_other() {
    let rows = rows(&read(PAGE));
    let told: BTreeSet<Line> = rows.iter().map(|(_, line)| line.clone()).collect();
    assert_eq!(rows.len(), told.len(), "{PAGE} tells of something twice");
    let sources = rust(".");
    let tests = tests_only(&sources);
    let (mut complaints, mut said) = (Vec::new(), BTreeSet::new());
    for source in sources.iter().filter(|source| !tests.contains(&source.path)) {
        let words = without_tests(&source.words);
        complaints.extend(untold(&source.path, &words, &told));
        let lines = complaints_of(&words).into_iter();
        said.extend(lines.filter_map(|(_, level, words)| Some((level, words?))));
    }
    assert!(said.len() > 30, "only {} warnings and errors were found", said.len());
    complaints.extend(unsaid(&rows, &said));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn an_untold_line_and_an_unsaid_one_are_seen() {
    let page = "| level |\n| WARN | `told` | lane | what it means and what to do |\n| ERROR | `gone` | – | \
                what it means and what to do |\n";
    let rows = rows(page);
    let told: BTreeSet<Line> = rows.iter().map(|(_, line)| line.clone()).collect();
    let check = |text: &str| untold("src/up.rs", &Source::new("src/up.rs", text).words, &told);
    assert!(check("fn f() { tracing::warn!(lane = \"told\", of = name(\"x\"), %error, \"told\"); }").is_empty());
    for bad in [
        "fn f() { tracing::warn!(\"untold\"); }",
        "fn f() { tracing::error!(\"told\"); }",
        "fn f() { tracing::warn!(lane = \"told\"); }",
        "fn f() { tracing::warn!(%error); f(\"told\") }",
    ] {
        assert_eq!(check(bad).len(), 1, "{bad}");
    }
    let said = BTreeSet::from([("WARN", "told".to_owned())]);
    assert_eq!(unsaid(&rows, &said), [format!("{PAGE}:3: nobody says ERROR `gone`")]);
}
