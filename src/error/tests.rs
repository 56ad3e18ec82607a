//! What messages look like.

use super::*;

#[test]
fn messages_show_paths_and_names_without_disturbing_a_terminal() {
    let path = PathBuf::from("a\u{1b}[31m\u{202e}b");
    let source = || io::Error::from(io::ErrorKind::NotFound);
    let stream = StreamId::new("Task", "x\u{202e}y").unwrap();
    let damage = Damage {
        file: path.clone(),
        offset: 7,
        reason: "bad".to_owned(),
        first_lost: Some(GlobalPosition::new(3)),
        first_good_after: Some(GlobalPosition::new(4)),
    };
    let errors = [
        Error::Missing { path: path.clone() },
        Error::NotADirectory { path: path.clone() },
        Error::NotAStore { path: path.clone(), found: "\u{200b}".to_owned() },
        Error::StoreFileMissing { path: path.clone() },
        Error::StoreExists { path: path.clone() },
        Error::InsideStore { path: path.clone(), store: path.clone() },
        Error::Locked { path: path.clone() },
        Error::NoSpace { path: path.clone(), source: source() },
        Error::Read { path: path.clone(), offset: 1, source: source() },
        Error::Io { operation: "open", path: path.clone(), source: source() },
        Error::Conflict {
            stream,
            expected: ExpectedVersion::NoStream,
            actual: StreamVersion::FIRST,
        },
        damage.into(),
    ];
    for message in errors.map(|error| error.to_string()) {
        assert!(message.is_ascii() && !message.contains('\u{1b}'), "{message:?}");
        assert!(message.contains("\\u{202e}"), "{message:?}");
    }
}

#[test]
fn lost_positions_are_named_in_the_singular_and_in_the_plural() {
    let name = |first, good: Option<u64>| {
        lost_positions(Some(GlobalPosition::new(first)), good.map(GlobalPosition::new))
    };
    assert_eq!(name(7, Some(8)).as_deref(), Some("position 7"));
    assert_eq!(name(7, Some(10)).as_deref(), Some("positions 7 to 9"));
    assert_eq!(name(7, None).as_deref(), Some("positions from 7 on"));
    assert_eq!(lost_positions(None, Some(GlobalPosition::new(8))), None);
}
