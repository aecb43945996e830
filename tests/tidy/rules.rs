//! The rules: each takes a source, or the text of a page, and answers with its complaints. What a rule
//! lets pass stands in a table, with its reason.

use std::collections::BTreeSet;

use maru_schemas::CONTEXTS;

use super::source::{Kind, Source};

/// What a context may name of another one: its folder, the name, the reason.
pub const SHARED: &[(&str, &str, &str)] = &[(
    "purchases",
    "maru_schemas::payments::TestCard",
    "a purchase hands the card on to the payment it asks for, and never looks at it",
)];

/// Which rooms of the workers each room may not name.
pub const BELOW: &[(&str, &[&str])] = &[
    ("contexts", &["flows", "jobs", "views", "ports", "facts", "house"]),
    ("flows", &["jobs", "views", "ports", "house"]),
    ("views", &["flows", "jobs", "ports", "house"]),
    ("jobs", &["flows", "views", "house"]),
    ("ports", &["contexts", "flows", "jobs", "views", "facts", "house"]),
];

/// Which crates of the house each one may stand on; itself is for its own tests.
pub const FLOORS: &[(&str, &[&str])] = &[
    ("schemas", &["maru-schemas"]),
    ("streams", &["maru-schemas", "maru-streams"]),
    ("workers", &["maru-schemas", "maru-streams", "maru-workers"]),
    ("gateway", &["maru-schemas", "maru-streams", "maru-gateway"]),
];

/// The most lines of a Rust file: what one can read in one sitting.
pub const LINES: usize = 450;

/// What may be longer: where, and why.
pub const LONG: &[(&str, &str)] = &[(
    "workers/src/ports/sketch/",
    "word lists and drawings; nobody reads them from top to bottom",
)];

/// What would make deciding the same command twice give two answers, or wait.
pub const UNREPEATABLE: &[(&[&str], &str)] = &[
    (&["async"], "waits"),
    (&["await"], "waits"),
    (&[":", ":", "now"], "reads a clock"),
    (&[".", "now", "("], "reads a clock"),
    (&["SystemTime"], "reads a clock"),
    (&["Instant"], "reads a clock"),
    (&["new_v4"], "makes an id up"),
    (&["new_v7"], "makes an id up"),
    (&["now_v7"], "makes an id up"),
    (&["new_id"], "makes an id up"),
    (&["rand"], "throws dice"),
];

/// What ends a process or a request without a word to the caller.
pub const ABRUPT: &[&[&str]] = &[
    &[".", "unwrap", "("],
    &[".", "expect", "("],
    &[":", ":", "unwrap"],
    &[":", ":", "expect"],
    &["panic", "!"],
    &["todo", "!"],
    &["unimplemented", "!"],
];

/// Whether a path is a name or leads into it.
pub fn leads_into(path: &str, name: &str) -> bool {
    path.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

pub fn last_first(path: &str) -> Vec<&str> {
    path.rsplit("::").collect()
}

pub fn siblings_named(context: &str, source: &Source) -> Vec<String> {
    let complain = |place: String, what: &str| format!("{place}: {context} names {what}, which is another room's");
    let is_shared = |path: &str| {
        SHARED
            .iter()
            .any(|(room, name, _)| *room == context && leads_into(path, name))
    };
    let others = || CONTEXTS.into_iter().filter(|other| *other != context);
    let is_others = |path: &str| {
        let whole = [
            "crate::*",
            "crate::contexts::*",
            "maru_schemas",
            "maru_schemas::self",
            "maru_schemas::*",
        ];
        whole.contains(&path)
            || others().any(|other| {
                leads_into(path, &format!("crate::contexts::{other}"))
                    || leads_into(path, &format!("maru_schemas::{other}"))
            })
    };
    let paths = source.paths();
    let named = paths.iter().filter(|path| is_others(path) && !is_shared(path));
    let mut complaints: Vec<String> = named
        .map(|path| complain(source.place_of(&last_first(path)), path))
        .collect();
    for word in source.words.iter().filter(|word| word.kind == Kind::Text) {
        let mut names = word
            .text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .enumerate();
        let is_theirs = |nth: usize, name: &str| {
            others().any(|other| (nth == 0 && name == other) || name.starts_with(&format!("{other}_")))
        };
        if let Some((_, table)) = names.find(|(nth, name)| is_theirs(*nth, name)) {
            complaints.push(complain(source.place(word.line), &format!("the table {table:?}")));
        }
    }
    complaints
}

pub fn unrepeatable(source: &Source) -> Vec<String> {
    let found = UNREPEATABLE
        .iter()
        .flat_map(|(sought, what)| source.find(sought).into_iter().map(move |line| (line, what)));
    found
        .map(|(line, what)| format!("{}: this {what}; deciding and reacting are pure", source.place(line)))
        .collect()
}

pub fn clients_named(source: &Source) -> Vec<String> {
    let streams = source.path.starts_with("streams/");
    let views = source.path.starts_with("workers/src/views/");
    let kept_out = [("async_nats", streams), ("surrealdb", streams || views)];
    let found = kept_out.iter().filter(|(_, may)| !may).flat_map(|(client, _)| {
        let lines = source.find(&[client]).into_iter();
        lines.map(move |line| format!("{}: only streams names {client}", source.place(line)))
    });
    found.collect()
}

pub fn floors(folder: &str, may: &[&str], manifest: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut section = "";
    for (nth, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            section = line;
        }
        if !section.contains("dependencies") {
            continue;
        }
        let by_name = line.match_indices("maru-").map(|(at, _)| {
            let name = line[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-');
            name.collect::<String>()
        });
        let by_path = line
            .match_indices("\"../")
            .map(|(at, _)| format!("maru-{}", line[at + 4..].split(['"', '/']).next().unwrap_or_default()));
        for name in by_name.chain(by_path).filter(|name| !may.contains(&name.as_str())) {
            complaints.push(format!(
                "{folder}/Cargo.toml:{}: {folder} does not stand on {name}",
                nth + 1
            ));
        }
    }
    complaints
}

pub fn named_from_below(room: &str, above: &[&str], source: &Source) -> Vec<String> {
    let is_above = |path: &str| {
        path == "crate::*"
            || above.iter().any(|above| leads_into(path, &format!("crate::{above}")))
            || (matches!(room, "contexts" | "flows") && leads_into(path, "maru_schemas::views"))
    };
    let paths = source.paths();
    let named = paths.iter().filter(|path| is_above(path));
    named
        .map(|path| {
            format!(
                "{}: {room} may not know {path}, which stands on it",
                source.place_of(&last_first(path))
            )
        })
        .collect()
}

/// The metrics that a file measures, with their lines; None for a name that is not written out.
pub fn metrics(source: &Source) -> Vec<(usize, Option<String>)> {
    let calls = source.words.windows(4).filter(|window| {
        matches!(window[0].text.as_str(), "counter" | "gauge" | "histogram")
            && window[0].kind == Kind::Name
            && window[1].text == "!"
            && window[2].text == "("
    });
    calls
        .map(|call| (call[0].line, (call[3].kind == Kind::Text).then(|| call[3].text.clone())))
        .collect()
}

pub fn undescribed(source: &Source, page: &str) -> Vec<String> {
    let complaint = |(line, name): (usize, Option<String>)| match name {
        Some(name) if page.contains(&format!("`{name}`")) => None,
        Some(name) => Some(format!(
            "{}: observability/README.md does not tell of `{name}`",
            source.place(line)
        )),
        None => Some(format!(
            "{}: write the metric's name out, so that it can be found",
            source.place(line)
        )),
    };
    metrics(source).into_iter().filter_map(complaint).collect()
}

pub fn unmeasured(page: &str, measured: &BTreeSet<String>) -> Vec<String> {
    let is_measured = |name: &str| {
        let bare = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending));
        measured.contains(name) || bare.is_some_and(|bare| measured.contains(bare))
    };
    let mut complaints = Vec::new();
    for (nth, line) in page.lines().enumerate() {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("maru_") && !is_measured(word)) {
            complaints.push(format!("observability/README.md:{}: nobody measures {name}", nth + 1));
        }
    }
    complaints
}

pub fn untold_variables(source: &Source, page: &str) -> Vec<String> {
    let names = source
        .words
        .windows(3)
        .filter(|w| w[0].text == "env" && w[1].text == "=" && w[2].kind == Kind::Text);
    let is_told = |name: &str| {
        page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|word| word == name)
    };
    let untold = names.filter(|window| !is_told(&window[2].text));
    untold
        .map(|window| {
            format!(
                "{}: README.md does not tell of {}",
                source.place(window[2].line),
                window[2].text
            )
        })
        .collect()
}

pub fn abrupt(source: &Source) -> Vec<String> {
    let found = ABRUPT.iter().flat_map(|sought| {
        let lines = source.find_outside_tests(sought).into_iter();
        lines.map(|line| {
            format!(
                "{}: `{}` ends things without a word; return an error",
                source.place(line),
                sought.concat()
            )
        })
    });
    found.collect()
}

pub fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let may = LONG.iter().any(|(place, _)| source.path.starts_with(place));
    let complaint = format!(
        "{}:{LINES}: {lines} lines are more than one reads in one sitting; divide it",
        source.path
    );
    if lines > LINES && !may {
        vec![complaint]
    } else {
        Vec::new()
    }
}

pub fn left_over(path: &str, text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let stands_alone = |line: &str, sought: &str, before: &dyn Fn(char) -> bool| {
        line.match_indices(sought).any(|(at, _)| {
            !line[..at].chars().next_back().is_some_and(before) && !line[at + sought.len()..].starts_with(is_part)
        })
    };
    let mut complaints = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        for mark in [concat!("TO", "DO"), concat!("FIX", "ME")] {
            if stands_alone(line, mark, &is_part) {
                complaints.push(format!(
                    "{path}:{}: {mark} is a promise to nobody; do it or write an issue",
                    nth + 1
                ));
            }
        }
        for folder in [concat!("/ro", "ot"), concat!("/wo", "rk")] {
            if stands_alone(line, folder, &|c| {
                is_part(c) || matches!(c, '/' | '.' | '~' | '}' | ')')
            }) {
                complaints.push(format!("{path}:{}: {folder} is there on one machine only", nth + 1));
            }
        }
    }
    complaints
}

/// Pages that the database would cut off what it has read whole (decision 31).
pub fn whole_ranges(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for word in source.words.iter().filter(|word| word.kind == Kind::Text) {
        let parts: Vec<&str> = word.text.split_whitespace().collect();
        let is_whole = |three: &[&str]| three[0] == "FROM" && three[1].starts_with('$') && three[2] == "LIMIT";
        if parts.windows(3).any(is_whole) {
            complaints.push(format!(
                "{}: all of the range is read; say FROM array::first([$range]) LIMIT",
                source.place(word.line)
            ));
        }
    }
    complaints
}

pub fn allowances(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, word) in source
        .words
        .iter()
        .enumerate()
        .filter(|(_, word)| word.kind == Kind::Mark && word.text == "#")
    {
        let mut rest = source.words[at + 1..]
            .iter()
            .skip_while(|word| word.text == "!")
            .peekable();
        if rest.peek().is_none_or(|word| word.text != "[") {
            continue;
        }
        let mut depth = 0;
        let mut before = "";
        for next in rest.filter(|word| word.kind != Kind::Text) {
            match next.text.as_str() {
                "[" => depth += 1,
                "]" => depth -= 1,
                "(" if before == "allow" => {
                    complaints.push(format!(
                        "{}: expect it with a reason instead of allowing it",
                        source.place(word.line)
                    ));
                }
                _ => {}
            }
            before = &next.text;
            if depth == 0 {
                break;
            }
        }
    }
    complaints
}
