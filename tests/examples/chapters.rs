//! Does every chapter of the tutorial show the code of the examples as it is?
//!
//! A block of Rust in a chapter is a passage of the example whose link stands last before it, word for word
//! and line by line; only how far the passage is indented may differ.

use std::fs;
use std::path::{Path, PathBuf};

/// A block of Rust in a chapter, and the example that it is taken from.
#[derive(Debug, PartialEq)]
struct Block {
    line: usize,
    example: PathBuf,
    code: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tutorial")
}

/// Returns the blocks of Rust in a chapter; one without an example before it has an empty path.
fn blocks(chapter: &str) -> Vec<Block> {
    let (mut blocks, mut example) = (Vec::new(), PathBuf::new());
    let mut lines = (1..).zip(chapter.lines());
    while let Some((number, line)) = lines.next() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.ends_with(".rs") {
                example = PathBuf::from(link);
            }
        }
        if line.starts_with("```rust") {
            let code = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let code = unindented(&code.collect::<Vec<_>>());
            blocks.push(Block { line: number, example: example.clone(), code });
        }
    }
    blocks
}

/// Takes away the indentation that all lines share.
fn unindented(lines: &[&str]) -> Vec<String> {
    let spaces = |line: &&str| line.len() - line.trim_start().len();
    let shared = lines.iter().filter(|line| !line.trim().is_empty()).map(spaces).min().unwrap_or(0);
    lines.iter().map(|line| line.get(shared..).unwrap_or_default().to_owned()).collect()
}

/// Returns the first line of a block that departs from the passage that agrees with it the longest; `None`
/// when the block is a passage.
fn departure(code: &[String], example: &str) -> Option<String> {
    let lines: Vec<_> = example.lines().collect();
    let agreeing = |start: usize| {
        let passage = lines.get(start..lines.len().min(start + code.len())).unwrap_or_default();
        let passage = unindented(passage);
        code.iter().zip(&passage).take_while(|(own, other)| own == other).count()
    };
    let longest = (0..lines.len()).map(agreeing).max().unwrap_or(0);
    code.get(longest).cloned()
}

#[test]
fn every_block_of_a_chapter_is_a_passage_of_its_example() {
    let mut shown = 0;
    let mut chapters: Vec<_> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    chapters.sort();
    for chapter in chapters {
        let text = fs::read_to_string(&chapter).unwrap().replace("\r\n", "\n");
        for block in blocks(&text) {
            let place = format!("{}:{}", chapter.display(), block.line);
            assert!(block.example != PathBuf::new(), "{place}: no example is named before it");
            let example = fs::read_to_string(folder().join(&block.example)).unwrap();
            let departure = departure(&block.code, &example.replace("\r\n", "\n"));
            assert!(departure.is_none(), "{place}: not in {:?}: {departure:?}", block.example);
            shown += 1;
        }
    }
    assert!(shown >= 10, "only {shown} blocks were found");
}

#[test]
fn a_block_that_differs_in_one_line_is_noticed() {
    let example = "fn one() {\n    if a {\n        b();\n    }\n}\n";
    let block = |text: &str| unindented(&text.lines().collect::<Vec<_>>());
    assert_eq!(departure(&block("if a {\n    b();\n}"), example), None);
    let differs = departure(&block("if a {\n    c();\n}"), example);
    assert_eq!(differs.as_deref(), Some("    c();"));
    assert_eq!(departure(&block("    }\n}\nmore"), example).as_deref(), Some("more"));
    let chapter = "See [it](../examples/it.rs):\n\n```rust\na\n\nb\n```\n\n```text\nc\n```\n";
    let code = vec!["a".to_owned(), String::new(), "b".to_owned()];
    let example = PathBuf::from("../examples/it.rs");
    assert_eq!(blocks(chapter), [Block { line: 3, example, code }]);
}
