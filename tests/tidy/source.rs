//! How the tidy test reads sources: a file as words with their lines (comments left out, strings kept
//! apart), and as the paths that it names, resolved to where they lead.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// What a word of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword, or a number.
    Name,
    /// The inside of a string.
    Text,
    /// One character of punctuation.
    Mark,
}

/// A word of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub line: usize,
    pub kind: Kind,
    pub text: String,
}

impl Word {
    fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

/// A Rust file.
pub struct Source {
    /// From the root of the house, with slashes.
    pub path: String,
    pub text: String,
    pub words: Vec<Word>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            words: words(text),
        }
    }

    /// The lines where these words follow each other; `"…"` stands for any string.
    pub fn find(&self, sought: &[&str]) -> Vec<usize> {
        lines_of(&self.words, sought)
    }

    /// The same without what is compiled for tests only.
    pub fn find_outside_tests(&self, sought: &[&str]) -> Vec<usize> {
        lines_of(&without_tests(&self.words), sought)
    }

    /// `file:line` of the first of these words that the file holds as a name.
    pub fn place_of(&self, names: &[&str]) -> String {
        let found = names
            .iter()
            .find_map(|name| self.words.iter().find(|word| word.is(name)));
        format!("{}:{}", self.path, found.map_or(1, |word| word.line))
    }

    pub fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// Every path that the file names, from its crate's root on, as `crate::jobs::Tools`.
    pub fn paths(&self) -> BTreeSet<String> {
        let file = syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{} is not Rust: {error}", self.path));
        let mut paths = Paths {
            module: module_of(&self.path),
            found: BTreeSet::new(),
        };
        paths.visit_file(&file);
        paths.found
    }
}

fn lines_of(words: &[Word], sought: &[&str]) -> Vec<usize> {
    let fits = |word: &Word, sought: &str| match sought {
        "\"…\"" => word.kind == Kind::Text,
        name => word.is(name),
    };
    let starts = words.windows(sought.len());
    starts
        .filter(|window| window.iter().zip(sought).all(|(word, sought)| fits(word, sought)))
        .map(|window| window[0].line)
        .collect()
}

/// The words without every item that stands under `#[cfg(test)]`.
pub fn without_tests(words: &[Word]) -> Vec<Word> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let here = &words[at..];
        if here.len() >= TEST.len() && here.iter().zip(TEST).all(|(word, sought)| word.is(sought)) {
            at += TEST.len() + item(&here[TEST.len()..]);
        } else {
            kept.push(here[0].clone());
            at += 1;
        }
    }
    kept
}

/// How many words the item at the beginning has, with its attributes.
fn item(words: &[Word]) -> usize {
    let mut depth = 0_usize;
    let mut is_statement = false;
    for (nth, word) in words.iter().enumerate() {
        if word.kind == Kind::Text {
            continue;
        }
        match word.text.as_str() {
            "use" | "const" | "static" if depth == 0 && !words[nth + 1..].first().is_some_and(|next| next.is("fn")) => {
                is_statement = true;
            }
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !is_statement {
                    return nth + 1;
                }
            }
            ";" if depth == 0 => return nth + 1,
            _ => {}
        }
    }
    words.len()
}

/// The modules that a file declares under `#[cfg(test)]`.
pub fn test_modules(words: &[Word]) -> Vec<String> {
    let declares = words.windows(10).filter(|window| {
        let sought = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
        window.iter().zip(sought).all(|(word, sought)| word.is(sought)) && window[9].is(";")
    });
    declares.map(|window| window[8].text.clone()).collect()
}

fn words(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().collect();
    let (mut words, mut at, mut line) = (Vec::new(), 0, 1);
    while let Some(&c) = chars.get(at) {
        let rest = &chars[at..];
        let (length, kind) = match c {
            '/' if rest.get(1) == Some(&'/') => (rest.iter().take_while(|c| **c != '\n').count(), None),
            '/' if rest.get(1) == Some(&'*') => (block_comment(rest), None),
            _ if string_start(rest).is_some() => (string(rest), Some(Kind::Text)),
            '\'' => (quote(rest), None),
            _ if is_word(c) => (rest.iter().take_while(|c| is_word(**c)).count(), Some(Kind::Name)),
            _ if c.is_whitespace() => (1, None),
            _ => (1, Some(Kind::Mark)),
        };
        let length = length.max(1);
        let text: String = chars[at..(at + length).min(chars.len())].iter().collect();
        let lines = text.matches('\n').count();
        if let Some(kind) = kind {
            let text = match kind {
                Kind::Text => inside(&text).to_owned(),
                _ => text,
            };
            words.push(Word { line, kind, text });
        }
        line += lines;
        at += length;
    }
    words
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn inside(literal: &str) -> &str {
    let start = literal.find('"').map_or(0, |quote| quote + 1);
    let end = literal.rfind('"').unwrap_or(literal.len()).max(start);
    &literal[start..end]
}

/// How far the opening quote is away if a string begins here, and the number of its hashes if it is raw.
fn string_start(rest: &[char]) -> Option<(usize, Option<usize>)> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    if prefix > 2 {
        return None;
    }
    let is_raw = rest[..prefix].contains(&'r');
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    if rest.get(prefix + hashes) != Some(&'"') || (hashes > 0 && !is_raw) {
        return None;
    }
    Some((prefix + hashes, is_raw.then_some(hashes)))
}

fn string(rest: &[char]) -> usize {
    let Some((open, raw)) = string_start(rest) else {
        return 1;
    };
    let mut at = open + 1;
    while let Some(c) = rest.get(at) {
        match (c, raw) {
            ('\\', None) => at += 1,
            ('"', None) => return at + 1,
            ('"', Some(hashes)) if rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes => {
                return at + 1 + hashes;
            }
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

/// A character literal, or the quote of a lifetime.
fn quote(rest: &[char]) -> usize {
    match rest {
        [_, '\\', _, tail @ ..] => 4 + tail.iter().take_while(|c| **c != '\'').count(),
        [_, _, '\'', ..] => 3,
        _ => 1,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

struct Paths {
    module: Vec<String>,
    found: BTreeSet<String>,
}

impl Paths {
    /// Keeps a path, with `self` and `super` at its beginning led back to the crate's root.
    fn keep(&mut self, path: &[String]) {
        let mut base = Vec::new();
        let mut rest = path;
        while let Some((first, more)) = rest.split_first() {
            match first.as_str() {
                "super" | "self" if base.is_empty() => base.clone_from(&self.module),
                "super" | "self" => {}
                _ => break,
            }
            if first == "super" {
                base.pop();
            }
            rest = more;
        }
        base.extend(rest.iter().cloned());
        self.found.insert(base.join("::"));
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) => self.keep(&with(name.ident.to_string())),
            syn::UseTree::Rename(rename) => self.keep(&with(rename.ident.to_string())),
            syn::UseTree::Glob(_) => self.keep(&with("*".to_owned())),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item)),
        }
    }

    /// The paths among the words of a macro's argument, which nobody parses.
    fn loose(&mut self, text: &str) {
        let words = words(text);
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for word in &words {
            match word.kind {
                Kind::Name if colons == 2 => path.push(word.text.clone()),
                Kind::Mark if word.text == ":" && colons < 2 && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                _ => {
                    self.keep_some(&path);
                    path = if word.kind == Kind::Name {
                        vec![word.text.clone()]
                    } else {
                        Vec::new()
                    };
                }
            }
            colons = 0;
        }
        self.keep_some(&path);
    }

    fn keep_some(&mut self, path: &[String]) {
        if path.len() > 1 {
            self.keep(path);
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.keep(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.loose(&node.tokens.to_string());
        visit::visit_macro(self, node);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }
}

/// `workers/src/contexts/books/decide.rs` is `crate::contexts::books::decide`.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.rsplit_once("src/").map_or(path, |(_, inside)| inside);
    let bare = inside.trim_end_matches(".rs");
    let bare = bare.strip_suffix("/mod").unwrap_or(bare);
    let names = bare.split('/').filter(|name| !matches!(*name, "lib" | "main"));
    std::iter::once("crate").chain(names).map(str::to_owned).collect()
}

/// The root of the house.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a file of the house says.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// Every file under a folder of the house that is text, without what is built, fetched or kept by git.
pub fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    let mut names: Vec<String> = found
        .iter()
        .filter_map(|path| path.strip_prefix(root()).ok()?.to_str())
        .map(|path| path.replace('\\', "/"))
        .collect();
    names.sort();
    names
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if !path.is_dir() {
            found.push(path);
        } else if !["target", ".git", ".maru"].iter().any(|skipped| name == *skipped) {
            walk(&path, found);
        }
    }
}

/// Every Rust file under a folder of the house.
pub fn rust(folder: &str) -> Vec<Source> {
    let names = files(folder).into_iter().filter(|name| name.ends_with(".rs"));
    let sources: Vec<Source> = names.map(|name| Source::new(&name, &read(&name))).collect();
    assert!(!sources.is_empty(), "there is no Rust under {folder}");
    sources
}

/// Whether a file is for tests only: by its place, or because it is declared under `#[cfg(test)]`.
pub fn tests_only(sources: &[Source]) -> BTreeSet<String> {
    let by_place = |path: &str| {
        path.starts_with("streams/src/testing/") || path.split('/').any(|part| matches!(part, "tests" | "benches"))
    };
    let mut found: BTreeSet<String> = sources
        .iter()
        .map(|source| source.path.clone())
        .filter(|path| by_place(path))
        .collect();
    for source in sources {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let bare = source.path.trim_end_matches(".rs");
        let is_root = ["mod.rs", "lib.rs", "main.rs"]
            .iter()
            .any(|name| source.path.ends_with(&format!("/{name}")));
        let home = if is_root { folder } else { bare };
        for module in test_modules(&source.words) {
            let (file, inner) = (format!("{home}/{module}.rs"), format!("{home}/{module}/"));
            let covered = sources.iter().map(|other| &other.path);
            found.extend(
                covered
                    .filter(|path| **path == file || path.starts_with(&inner))
                    .cloned(),
            );
        }
    }
    found
}
