//! Does the repository keep its own rules?
//!
//! One test a rule; what a rule speaks of is data at its head. An exception is data too, with its
//! reason, and fails when nothing needs it any more. Sources are read as text: comments and literals
//! are blanked, then every path in the code is spelled out, groups of `use` included.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A floor of the crate, the modules that stand on it, and the floors right below it.
struct Floor {
    name: &'static str,
    modules: &'static [&'static str],
    below: &'static [&'static str],
}

/// The two towers on one vocabulary, from the top down; `src/bin` stands above as any user does.
const FLOORS: &[Floor] = &[
    Floor {
        name: "testing",
        modules: &["testing"],
        below: &["backend", "engine", "projection", "sidecar", "index", "segment", "io", "format"],
    },
    Floor { name: "backend", modules: &["backend"], below: &["domain", "engine"] },
    Floor { name: "domain", modules: &["domain"], below: &["codec"] },
    Floor { name: "codec", modules: &["codec"], below: &["store"] },
    Floor { name: "projection", modules: &["projection"], below: &["subscription"] },
    Floor { name: "subscription", modules: &["subscription"], below: &["store"] },
    Floor { name: "store", modules: &["store"], below: &["vocabulary"] },
    Floor { name: "engine", modules: &["engine"], below: &["store", "index", "sidecar"] },
    Floor { name: "sidecar", modules: &["sidecar"], below: &["io", "format"] },
    Floor { name: "index", modules: &["index"], below: &["segment"] },
    Floor { name: "segment", modules: &["segment"], below: &["io", "format"] },
    Floor { name: "io", modules: &["io"], below: &["vocabulary"] },
    Floor { name: "format", modules: &["format"], below: &["vocabulary"] },
    Floor {
        name: "vocabulary",
        modules: &[
            "bugs",
            "chance",
            "clock",
            "encoding",
            "error",
            "escaped",
            "event",
            "few",
            "field",
            "limits",
            "position",
            "record",
            "stream",
            "timestamp",
        ],
        below: &[],
    },
];

/// Lets one file name what its rule forbids.
struct Exception {
    file: &'static str,
    path: &'static str,
    reason: &'static str,
}

const FLOOR_EXCEPTIONS: &[Exception] = &[
    Exception {
        file: "src/error/mod.rs",
        path: "crate::store::CheckFailure",
        reason: "the one error type says which checks of the contract failed",
    },
    Exception {
        file: "src/error/mod.rs",
        path: "crate::store::ExpectedVersion",
        reason: "a conflict says what was expected",
    },
];

/// What reaches the disk; `src/io` is the only floor that may.
const DISK: &[&str] =
    &["std::fs", "std::os::unix::fs", "std::os::windows::fs", "memmap2", "rustix", "libc"];

/// What asks for the time; `src/clock.rs` is the only file that may.
const TIME: &[&str] = &["Instant", "SystemTime", "now_v7"];

const TIME_EXCEPTIONS: &[Exception] = &[
    Exception {
        file: "src/timestamp.rs",
        path: "SystemTime",
        reason: "converts a time that somebody else asked for",
    },
    Exception {
        file: "src/event/mod.rs",
        path: "now_v7",
        reason: "an id that grows with time; no recorded time comes from it",
    },
];

const UNSAFE_EXCEPTIONS: &[Exception] = &[
    Exception {
        file: "tests/forking/main.rs",
        path: "unsafe",
        reason: "a fork is an unsafe call, and no part of the crate",
    },
    Exception {
        file: "benches/peers/src/engines/lmdb.rs",
        path: "unsafe",
        reason: "LMDB is opened by an unsafe call, and no part of the crate",
    },
    Exception {
        file: "benches/peers/src/engines/raw.rs",
        path: "unsafe",
        reason: "the floor of a scan is a mapped file, and no part of the crate",
    },
];

const MODULE_NAMES_REFUSED: &[&str] =
    &["util", "utils", "common", "helpers", "manager", "base", "core", "types", "data"];

const SOURCE_LINES_MAX: usize = 600;
const FACE_LINES_MAX: usize = 150;

/// Files that are longer, with the most lines they may have.
const LONGER: &[(&str, usize, &str)] = &[];

const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".clippy.toml",
    ".deny.toml",
    ".github",
    ".gitignore",
    ".rustfmt.toml",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "docs",
    "fuzz",
    "src",
    "tests",
];

/// What cargo adds to a package that it publishes.
const TOP_LEVEL_OF_A_PACKAGE: &[&str] = &[".cargo_vcs_info.json", "Cargo.toml.orig"];

#[test]
fn no_module_uses_a_floor_above_its_own() {
    let mut unused: BTreeSet<_> = FLOOR_EXCEPTIONS.iter().map(|e| (e.file, e.path)).collect();
    let mut broken = Vec::new();
    for source in Source::below("src") {
        let Some(module) = source.module() else { continue };
        let Some(floor) = floor_of(&module) else {
            broken.push(format!("{}: `{module}` stands on no floor of the table", source.name));
            continue;
        };
        let own_paths = source.paths().into_iter().filter(|path| path.starts_with("crate::"));
        for path in own_paths.collect::<BTreeSet<_>>() {
            let is_excepted = |e: &&Exception| e.file == source.name && e.path == path;
            if let Some(exception) = FLOOR_EXCEPTIONS.iter().find(is_excepted) {
                unused.remove(&(exception.file, exception.path));
            } else if !may_use(floor, &path) {
                broken.push(format!("{}: {} may not use {path}", source.name, floor.name));
            }
        }
    }
    refuse("an import goes up, or past the module that owns the name", broken);
    assert!(unused.is_empty(), "exceptions that nothing needs: {unused:?}");
}

#[test]
fn no_module_climbs_out_of_its_folder() {
    let mut broken = Vec::new();
    for source in Source::below("src") {
        let climbs = source.paths().into_iter().filter(|path| path.starts_with("super::super::"));
        broken.extend(climbs.map(|path| format!("{}: {path}", source.name)));
        let at_the_root = source.name.matches('/').count() == 1 || source.name.ends_with("/mod.rs");
        if at_the_root && source.module().is_some() {
            let climbs = source.code.lines().filter(|line| line.starts_with("use super::"));
            broken.extend(climbs.map(|line| format!("{}: {line}", source.name)));
        }
    }
    refuse("use `crate::` to reach another folder: its floor is checked", broken);
}

#[test]
fn every_source_file_opens_with_what_it_is_for() {
    let sources = ["src", "tests", "benches", "docs", "fuzz"].into_iter().flat_map(Source::below);
    let bare = sources.filter(|source| !source.text.starts_with("//! "));
    refuse("a file opens with a `//!` paragraph", bare.map(|source| source.name));
}

#[test]
fn unsafe_code_is_forbidden_at_the_head_of_every_folder_but_io() {
    let forbids = |source: &Source| source.code.lines().any(|l| l == "#![forbid(unsafe_code)]");
    let bare = Source::below("src").into_iter().filter(|source| !forbids(source));
    let (io, others): (Vec<_>, Vec<_>) = bare.partition(|source| source.is_below("src/io/"));
    let mut broken: Vec<_> = others.into_iter().map(|s| s.name).filter(|n| is_head(n)).collect();
    // The head of `io` can not forbid what its one module for mapped files may do.
    let is_head_in_io = |name: &str| {
        let is_head = name.matches('/').count() == 2 || name.ends_with("/mod.rs");
        is_head && name != "src/io/mod.rs"
    };
    let io = io.into_iter().filter(|source| !source.is_unit_test()).map(|source| source.name);
    let io: Vec<_> = io.filter(|name| is_head_in_io(name)).collect();
    if io.len() > 1 {
        broken.extend(io);
    }
    refuse("`#![forbid(unsafe_code)]` is missing", broken);
}

#[test]
fn only_one_module_holds_unsafe_code() {
    let mut unused: BTreeSet<_> = UNSAFE_EXCEPTIONS.iter().map(|e| e.file).collect();
    let has_unsafe = |source: &Source| words(&source.code).any(|word| word == "unsafe");
    let sources = ["src", "tests", "benches", "docs"].into_iter().flat_map(Source::below);
    let (io, others): (Vec<_>, Vec<_>) =
        sources.filter(has_unsafe).partition(|source| source.is_below("src/io/"));
    let others = others.into_iter().filter(|source| !unused.remove(source.name.as_str()));
    let mut broken: Vec<_> = others.map(|source| source.name).collect();
    if io.len() > 1 {
        broken.extend(io.into_iter().map(|source| source.name));
    }
    refuse("unsafe code belongs into one module of src/io", broken);
    assert!(unused.is_empty(), "exceptions that nothing needs: {unused:?}");
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let sources = ["src", "tests"].into_iter().flat_map(Source::below);
    let says_nothing = |source: &Source| {
        let mut parts = source.name.trim_end_matches(".rs").split('/');
        parts.any(|part| MODULE_NAMES_REFUSED.contains(&part))
    };
    refuse("name what the module owns", sources.filter(says_nothing).map(|s| s.name));
}

#[test]
fn the_disk_is_reached_only_through_io() {
    let mut broken = Vec::new();
    for source in Source::below("src") {
        if source.is_below("src/io/") || source.is_below("src/bin/") {
            continue;
        }
        let reaches = |path: &String| DISK.iter().any(|disk| begins_with(path, disk));
        let paths = paths(source.production()).into_iter().filter(reaches);
        broken.extend(paths.map(|path| format!("{}: {path}", source.name)));
    }
    refuse("only src/io reaches the disk", broken);
}

#[test]
fn the_time_is_asked_for_only_by_the_clock() {
    let mut unused: BTreeSet<_> = TIME_EXCEPTIONS.iter().map(|e| (e.file, e.path)).collect();
    let mut broken = Vec::new();
    for source in Source::below("src") {
        if source.name == "src/clock.rs" || source.is_below("src/bin/") {
            continue;
        }
        for word in words(source.production()).filter(|word| TIME.contains(word)) {
            let is_excepted = |e: &&Exception| e.file == source.name && e.path == word;
            match TIME_EXCEPTIONS.iter().find(is_excepted) {
                Some(exception) => _ = unused.remove(&(exception.file, exception.path)),
                None => broken.push(format!("{}: {word}", source.name)),
            }
        }
    }
    refuse("only src/clock.rs asks for the time", broken);
    assert!(unused.is_empty(), "exceptions that nothing needs: {unused:?}");
}

#[test]
fn bincode_is_reached_from_one_module_only() {
    let others = Source::below("src").into_iter().filter(|s| s.name != "src/encoding.rs");
    let reaches = |source: &Source| source.paths().iter().any(|path| path.starts_with("bincode::"));
    refuse("only src/encoding.rs names bincode", others.filter(reaches).map(|s| s.name));
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not hold what it looks for.
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["to", "do!("], ["unimplemen", "ted!("], ["#[ign", "ore"]];
    let mut broken = Vec::new();
    for folder in ["src", "tests", "docs", "benches", "fuzz", "README.md", "CHANGELOG.md"] {
        for file in files_below(folder) {
            let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
            for (number, line) in (1..).zip(text.lines()) {
                if marks.iter().any(|mark| line.contains(&mark.concat())) {
                    broken.push(format!("{file}:{number}: {line}"));
                }
            }
        }
    }
    refuse("finish it or open an issue", broken);
}

#[test]
fn no_source_file_is_long() {
    let mut broken = Vec::new();
    for source in Source::below("src") {
        let lines = source.text.lines().count();
        let longer = LONGER.iter().find(|(file, ..)| *file == source.name);
        let most = match longer {
            Some((_, most, _)) => *most,
            None if source.name == "src/lib.rs" => FACE_LINES_MAX,
            None => SOURCE_LINES_MAX,
        };
        if lines > most {
            broken.push(format!("{}: {lines} lines of at most {most}", source.name));
        }
        if longer.is_some() && lines <= SOURCE_LINES_MAX {
            broken.push(format!("{}: needs its exception no more", source.name));
        }
    }
    refuse("split what is long", broken);
}

#[test]
fn every_exception_gives_its_reason_and_names_a_file() {
    let exceptions = FLOOR_EXCEPTIONS.iter().chain(TIME_EXCEPTIONS).chain(UNSAFE_EXCEPTIONS);
    let exceptions = exceptions.map(|e| (e.file, e.reason));
    let longer = LONGER.iter().map(|(file, _, reason)| (*file, *reason));
    for (file, reason) in exceptions.chain(longer) {
        assert!(!reason.is_empty() && root().join(file).is_file(), "{file}: {reason}");
    }
}

#[test]
fn nothing_else_lies_at_the_top_of_the_repository() {
    let names = names_in_git().unwrap_or_else(names_on_disk);
    let allowed = [TOP_LEVEL, TOP_LEVEL_OF_A_PACKAGE].concat();
    let broken = names.into_iter().filter(|name| !allowed.contains(&name.as_str()));
    refuse("the top level is fixed", broken);
}

#[test]
fn no_test_waits_for_time_to_pass() {
    let sleeps = |source: &Source| words(&source.code).any(|word| word == "sleep");
    let sources = Source::below("tests").into_iter().filter(sleeps);
    refuse("wait for what must happen, not for time", sources.map(|s| s.name));
}

#[test]
fn every_text_with_rust_code_is_compiled_as_a_doc_test() {
    let face = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let texts = ["README.md".to_owned()].into_iter().chain(files_below("docs"));
    // The chapters of the tutorial show passages of the examples: tests/examples/chapters.rs.
    let texts = texts.filter(|file| !file.starts_with("docs/tutorial/"));
    let with_code = texts.filter(|file| {
        file.ends_with(".md") && fs::read_to_string(root().join(file)).unwrap().contains("```rust")
    });
    let broken = with_code.filter(|file| !face.contains(&format!("include_str!(\"../{file}\")")));
    refuse("name it among the doc tests at the end of src/lib.rs", broken);
}

#[test]
fn every_link_between_the_texts_leads_to_a_file() {
    let mut broken = Vec::new();
    let texts = ["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    for file in texts.into_iter().chain(files_below("docs")).filter(|file| file.ends_with(".md")) {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let target = root().join(&file).parent().unwrap().join(link);
            if !link.is_empty() && !link.contains("://") && !target.exists() {
                broken.push(format!("{file}: {link}"));
            }
        }
    }
    refuse("a link leads nowhere", broken);
}

#[test]
fn every_old_name_in_the_table_for_newcomers_can_be_searched_for() {
    let page = fs::read_to_string(root().join("docs/coming-from-eventsource-py.md")).unwrap();
    let names = old_names(&page);
    assert!(names.len() > 100, "the table of names has another form: {names:?}");
    let mut found = BTreeSet::new();
    for source in Source::below("src").into_iter().filter(|source| !source.is_below("src/bin/")) {
        found.extend(doc_aliases(&source.text));
        let mut before = "";
        for word in words(&source.code).filter(|word| !word.is_empty()) {
            if matches!(before, "fn" | "struct" | "enum" | "trait" | "type" | "counted_from_one") {
                found.insert(word.to_owned());
            }
            before = word;
        }
        // The fields that users name.
        let fields = source.code.lines().filter_map(|line| line.trim().strip_prefix("pub "));
        found.extend(fields.filter_map(|line| Some(line.split_once(':')?.0.to_owned())));
    }
    let missing = names.difference(&found).cloned();
    refuse("give what replaces the name a `#[doc(alias = \"...\")]`", missing);
}

#[test]
fn old_names_and_aliases_are_read_as_they_are_written() {
    let page = "# A\n| `no` | | |\n## Names\n| 0.5 | 0.15 | annals |\n|---|---|---|\n\
                | `A.b(c)`, a loop around `d=3` | `e_` | `f` |\n## Append\n| `g` | | |\n";
    assert_eq!(old_names(page).into_iter().collect::<Vec<_>>(), ["A", "b", "c", "d", "e_"]);
    let code = "#[doc(alias = \"A\")]\n#[doc(alias(\"b\", \"c\"))]\n#[doc(alias(\n \"d\",\n))]";
    assert_eq!(doc_aliases(code), ["A", "b", "c", "d"]);
}

#[test]
fn paths_are_spelled_out_and_comments_and_literals_are_not_code() {
    let code = without_comments_and_literals(
        "use std::{fs::{self, File}, io}; // crate::a\n use crate::*; crate::c::d::<u8>('\"', \"crate::e\");",
    );
    let found: Vec<_> = paths(&code).into_iter().filter(|path| path.contains("::")).collect();
    assert_eq!(found, ["std::fs::self", "std::fs::File", "std::io", "crate::*", "crate::c::d"]);
    assert!(begins_with("std::fs::File", "std::fs") && !begins_with("std::fsync", "std::fs"));
}

/// Returns the names that stand as code in all but the last column of the table under "Names".
fn old_names(page: &str) -> BTreeSet<String> {
    let names = page.split("\n## ").find(|section| section.starts_with("Names\n")).unwrap();
    let rows = names.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.filter_map(|row| Some(row.rsplit_once('|')?.0));
    let code = cells.flat_map(|cells| cells.split('`').skip(1).step_by(2));
    let is_name =
        |word: &&str| word.starts_with(|first: char| first.is_alphabetic() || first == '_');
    code.flat_map(words).filter(is_name).map(str::to_owned).collect()
}

/// Returns the aliases that a source gives its items, for whoever searches the documentation.
fn doc_aliases(text: &str) -> Vec<String> {
    let attributes = text.split("#[doc(alias").skip(1).filter_map(|rest| rest.split(']').next());
    attributes.flat_map(|names| names.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn refuse(rule: &str, broken: impl IntoIterator<Item = String>) {
    let broken: Vec<_> = broken.into_iter().collect();
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Tells whether what a file forbids holds for a whole folder, or for itself at the top of `src`.
fn is_head(name: &str) -> bool {
    let folders = name.matches('/').count();
    let is_mod = folders == 2 && name.ends_with("/mod.rs");
    name != "src/lib.rs" && (folders == 1 || is_mod || name.ends_with("/main.rs"))
}

fn floor_of(module: &str) -> Option<&'static Floor> {
    FLOORS.iter().find(|floor| floor.modules.contains(&module))
}

/// Tells whether a floor may use a path that begins with `crate::`: its own modules and all below.
fn may_use(floor: &Floor, path: &str) -> bool {
    let module = path.split("::").nth(1).unwrap_or_default();
    floor.modules.contains(&module)
        || floor.below.iter().any(|name| {
            let lower = FLOORS.iter().find(|lower| lower.name == *name).unwrap();
            may_use(lower, path)
        })
}

/// A file of Rust: its path from the root of the repository, its text, and the code in it.
struct Source {
    name: String,
    text: String,
    code: String,
}

impl Source {
    fn below(folder: &str) -> Vec<Self> {
        let files = files_below(folder).into_iter().filter(|file| file.ends_with(".rs"));
        files.map(Self::read).collect()
    }

    fn read(name: String) -> Self {
        let text = fs::read_to_string(root().join(&name)).unwrap().replace("\r\n", "\n");
        let code = without_comments_and_literals(&text);
        Self { name, text, code }
    }

    fn is_below(&self, folder: &str) -> bool {
        self.name.starts_with(folder)
    }

    fn is_unit_test(&self) -> bool {
        self.name.ends_with("/tests.rs") || self.name.contains("/tests/")
    }

    fn paths(&self) -> Vec<String> {
        paths(&self.code)
    }

    /// Returns the module of the crate that the file belongs to; none for its face and its program.
    fn module(&self) -> Option<String> {
        let module = self.name.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
        (!matches!(module, "lib" | "bin")).then(|| module.to_owned())
    }

    /// Returns the code without the unit tests, which stand at the end or in a file of their own.
    fn production(&self) -> &str {
        match self.is_unit_test() {
            true => "",
            false => self.code.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default(),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Lists the files below a folder, or the file itself, without what a build left there.
fn files_below(folder: &str) -> Vec<String> {
    let (mut files, mut open) = (Vec::new(), vec![PathBuf::from(folder)]);
    while let Some(path) = open.pop() {
        let full = root().join(&path);
        if full.is_file() {
            files.push(path.to_str().unwrap().replace('\\', "/"));
        } else if full.is_dir() && !path.ends_with("target") {
            open.extend(
                fs::read_dir(full).unwrap().map(|entry| path.join(entry.unwrap().file_name())),
            );
        }
    }
    files.sort();
    files
}

/// Lists the names at the top of what git tracks; none where there is no git or nothing tracked.
fn names_in_git() -> Option<BTreeSet<String>> {
    let output =
        Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output().ok()?;
    let listed = String::from_utf8(output.stdout).ok().filter(|listed| !listed.is_empty())?;
    Some(listed.split_terminator('\0').map(|file| first_part(file).to_owned()).collect())
}

/// Lists the names at the top of the folder without those that `.gitignore` names.
fn names_on_disk() -> BTreeSet<String> {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    let ignored: Vec<_> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| name != ".git" && !ignored.contains(&name.as_str())).collect()
}

fn first_part(file: &str) -> &str {
    file.split('/').next().unwrap_or_default()
}

fn begins_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character| !is_of_a_word(character))
}

/// Blanks comments and the insides of literals, line by line in place.
fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest);
        let (blank, after) = rest.split_at(length.unwrap_or(first.len_utf8()));
        match length {
            Some(_) => code.extend(blank.chars().filter(|c| *c == '\n').chain([' '])),
            None => code.push(first),
        }
        rest = after;
    }
    code
}

/// Returns the bytes of the comment or literal that the text begins with.
fn blank_length(text: &str) -> Option<usize> {
    let to = |from: usize, end: &str| {
        let found = text.get(from..).and_then(|rest| rest.find(end));
        Some(found.map_or(text.len(), |at| from + at + end.len()))
    };
    match text {
        _ if text.starts_with("//") => Some(text.find('\n').unwrap_or(text.len())),
        _ if text.starts_with("/*") => to(2, "*/"),
        _ if text.starts_with("r#\"") => to(3, "\"#"),
        _ if text.starts_with("r\"") => to(2, "\""),
        _ if text.starts_with('"') => Some(quoted_length(text, '"')),
        _ if text.starts_with("'\\") => Some(quoted_length(text, '\'')),
        // A character between quotes, and not the name of a lifetime.
        _ if text.starts_with('\'') && text.chars().nth(2) == Some('\'') => to(1, "'"),
        _ => None,
    }
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Spells out every path in the code: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    // The path so far, and the beginnings that the open braces around it share.
    let (mut path, mut groups) = (String::new(), Vec::<String>::new());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let word: &str = words(rest).next().unwrap_or_default();
        let mut length = first.len_utf8();
        if !word.is_empty() {
            if !path.ends_with("::") {
                path = groups.last().cloned().unwrap_or_default();
            }
            path.push_str(word);
            length = word.len();
        } else if rest.starts_with("::") {
            path.push_str("::");
            length = 2;
        } else if first == '{' && path.ends_with("::") {
            groups.push(std::mem::take(&mut path));
        } else if !(path.is_empty() || first.is_whitespace() && path.ends_with("::")) {
            let whole = std::mem::take(&mut path);
            let whole = whole.trim_start_matches("::");
            found.push(match whole.strip_suffix("::") {
                Some(folder) if first != '*' => folder.to_owned(),
                Some(_) => format!("{whole}*"),
                None => whole.to_owned(),
            });
        }
        if first == '}' {
            groups.pop();
        }
        rest = rest.split_at(length).1;
    }
    found
}
