//! `import`: what is recorded, what is recognised, and which line is named.

use annals::{ContentType, EventId, FileStore};

use crate::program::{Place, assert_are_lines, gzip, line, lines};

const IMPORT: &str = "import events --store store";

#[test]
fn importing_again_appends_nothing_and_says_so() {
    let place = Place::new();
    place.file("events", lines(1200));
    assert_eq!(place.run(IMPORT).printed(), "1200 events read, 1200 appended, 0 recognised\n");
    assert_eq!(place.run(IMPORT).printed(), "1200 events read, 0 appended, 1200 recognised\n");
    assert_are_lines(&place.events(), 1200);
}

#[test]
fn an_event_gets_what_its_line_says() {
    let place = Place::new();
    place.file("events", line(0));
    place.run(IMPORT).printed();
    let event = &place.events()[0];
    assert_eq!(event.stream().unwrap().to_string(), "order-0:Order");
    assert_eq!(event.event_type(), "Placed");
    assert_eq!(event.content_type(), ContentType::Json);
    assert_eq!(event.occurred_at().to_string(), "2023-12-31T23:00:00.000000Z");
    assert_eq!(event.event_id().as_uuid().get_version_num(), 5);
}

#[test]
fn ids_are_the_same_plain_packed_renamed_and_from_standard_input() {
    let ids = |arguments: &str, name: &str, content: &[u8]| -> Vec<EventId> {
        let place = Place::new();
        place.file(name, content);
        place.run_with(arguments, content).printed();
        place.events().iter().map(annals::RecordedEvent::event_id).collect()
    };
    let plain = lines(50);
    let packed = gzip(plain.as_bytes());
    let (front, back) = plain.as_bytes().split_at(plain.len() / 2);
    let in_members = [gzip(front), gzip(back)].concat();

    let expected = ids(IMPORT, "events", plain.as_bytes());
    assert_eq!(expected.len(), 50);
    assert_eq!(ids(IMPORT, "events", &packed), expected);
    assert_eq!(ids("import other.jsonl --store store", "other.jsonl", &packed), expected);
    assert_eq!(ids(IMPORT, "events", &in_members), expected);
    assert_eq!(ids("import - --store store", "unused", plain.as_bytes()), expected);
    assert_eq!(ids("import - --store store", "unused", &packed), expected);
    assert_eq!(ids("import events --store store --batch 7", "events", &packed), expected);
}

#[test]
fn lines_added_to_a_file_are_appended_and_the_others_recognised() {
    let place = Place::new();
    place.file("events", lines(10));
    place.run(IMPORT).printed();
    place.file("events", lines(25));
    assert_eq!(place.run(IMPORT).printed(), "25 events read, 15 appended, 10 recognised\n");
    assert_are_lines(&place.events(), 25);
}

#[test]
fn equal_lines_of_one_file_are_events_of_their_own() {
    let place = Place::new();
    place.file("events", line(3).repeat(4));
    assert_eq!(place.run(IMPORT).printed(), "4 events read, 4 appended, 0 recognised\n");
    assert_eq!(place.run(IMPORT).printed(), "4 events read, 0 appended, 4 recognised\n");
}

#[test]
fn the_default_store_is_a_directory_called_annals_store() {
    let place = Place::new();
    place.file("events", lines(2));
    place.run("import events").printed();
    assert!(place.path().join("annals-store").is_dir());
    assert!(place.run("import --help").printed().contains("[default: annals-store]"));
    assert_eq!(place.run("read").printed().lines().count(), 2);
}

#[test]
fn an_empty_input_makes_an_empty_store() {
    let place = Place::new();
    place.file("events", "");
    assert_eq!(place.run(IMPORT).printed(), "0 events read, 0 appended, 0 recognised\n");
    assert_eq!(place.events(), []);
}

#[test]
fn a_line_that_is_not_valid_is_named_and_what_came_before_stays_imported() {
    let place = Place::new();
    let input = [line(0), line(1), "{\"aggregate_type\":\n".into(), line(2), line(3)].concat();
    place.file("events", input);
    let ran = place.run(IMPORT);
    ran.failed(1, &["line 3: ", "EOF"]);
    assert_eq!(ran.stdout, "2 events read, 2 appended, 0 recognised\n");
    assert_are_lines(&place.events(), 2);
}

#[test]
fn lines_that_are_not_valid_are_left_out_and_counted_on_request() {
    let place = Place::new();
    let input = [line(0), line(1), "nonsense\n".into(), line(2), line(3)].concat();
    place.file("events", input);
    let ran = place.run("import events --store store --skip-invalid");
    ran.failed(0, &["line 3: not a JSON object"]);
    assert_eq!(ran.stdout, "4 events read, 4 appended, 0 recognised, 1 skipped\n");
    assert_are_lines(&place.events(), 4);

    place.file("events", lines(4));
    assert_eq!(place.run(IMPORT).printed(), "4 events read, 0 appended, 4 recognised\n");
}

#[test]
fn a_wrong_aggregate_version_is_named_by_its_line() {
    let place = Place::new();
    let claim = |index: usize, version: u64| {
        line(index).replace("\"data\"", &format!("\"aggregate_version\":{version},\"data\""))
    };
    let input = [claim(0, 1), claim(7, 2), claim(14, 2), claim(21, 3)].concat();
    place.file("events", input);
    let ran = place.run(IMPORT);
    ran.failed(1, &["line 3: ", "order-0:Order", "version 2", "version 3"]);
    assert_eq!(place.events().len(), 2);

    let ran = place.run("import events --store store --skip-invalid");
    ran.failed(0, &["line 3: "]);
    assert_eq!(ran.stdout, "3 events read, 1 appended, 2 recognised, 1 skipped\n");
}

#[test]
fn an_event_id_that_is_taken_is_named_by_its_line_and_nothing_is_dropped() {
    let place = Place::new();
    let with_id = |index: usize| {
        let id = "\"event_id\":\"018f0000-0000-7000-8000-000000000001\",\"data\"";
        line(index).replace("\"data\"", id)
    };
    place.file("events", [line(0), with_id(1), line(2), with_id(3)].concat());
    place.run(IMPORT).failed(1, &["line 4: ", "018f0000-0000-7000-8000-000000000001", "taken"]);
    assert_eq!(place.events().len(), 3);
}

#[test]
fn a_payload_over_the_limit_is_named_by_its_line_and_the_import_goes_on() {
    let place = Place::new();
    let large = "x".repeat(17 << 20);
    let large = line(1).replace("{\"n\":1}", &format!("\"{large}\""));
    place.file("events", [line(0), large, line(1)].concat());
    place.run(IMPORT).failed(1, &["line 2: ", "payload", "limit", "16777216"]);
    assert_are_lines(&place.events(), 1);
    let ran = place.run("import events --store store --skip-invalid");
    assert_eq!(ran.stdout, "2 events read, 1 appended, 1 recognised, 1 skipped\n");
    assert_are_lines(&place.events(), 2);
}

#[test]
fn a_line_without_end_is_an_error_and_not_memory_without_bound() {
    let place = Place::new();
    let packed = gzip(&[line(0).into_bytes(), vec![b' '; 65 << 20], line(1).into_bytes()].concat());
    place.file("events", [packed, gzip(line(1).as_bytes())].concat());
    place.run(IMPORT).failed(1, &["line 2: the line is too long"]);
    let ran = place.run("import events --store store --skip-invalid");
    assert_eq!(ran.stdout, "2 events read, 1 appended, 1 recognised, 1 skipped\n");
    assert_are_lines(&place.events(), 2);
}

#[test]
fn names_that_break_the_rules_are_named_by_their_line() {
    let place = Place::new();
    let cases = [
        ("order-1", "order\\u0007", "invalid aggregate id"),
        ("Order", "Ord er", "invalid aggregate type"),
        ("Paid", "", "invalid event type"),
        ("Paid", "a\\nb", "invalid event type"),
    ];
    for (name, wrong, expected) in cases {
        place.file(
            "events",
            [line(0), line(1).replace(&format!("\"{name}"), &format!("\"{wrong}"))].concat(),
        );
        place.run(IMPORT).failed(1, &["line 2: ", expected]);
        assert_are_lines(&place.events(), 1);
    }
}

#[test]
fn a_packed_file_that_is_cut_off_gives_what_came_before() {
    let place = Place::new();
    let packed = gzip(lines(2000).as_bytes());
    place.file("events", &packed[..packed.len() - 20]);
    let ran = place.run(IMPORT);
    let events = place.events();
    ran.failed(1, &[&format!("line {}: can not read the input", events.len() + 1)]);
    assert_are_lines(&events, events.len());
    assert!(events.len() > 1000 && events.len() < 2000, "{}", events.len());
}

#[test]
fn an_input_that_can_not_be_read_makes_no_store() {
    let place = Place::new();
    place.run("import nothing --store store").failed(1, &["can not read nothing"]);
    #[cfg(unix)]
    place.run("import . --store store").failed(1, &["can not read .", "directory"]);
    assert!(!place.store().exists());
}

#[test]
fn a_store_that_is_open_elsewhere_is_not_written_to() {
    let place = Place::new();
    place.file("events", lines(3));
    let open = FileStore::open(place.store()).unwrap();
    place.run(IMPORT).failed(1, &["already open for writing"]);
    open.close().unwrap();
    place.run(IMPORT).printed();
}

#[test]
fn no_bytes_of_input_make_the_program_panic() {
    let place = Place::new();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let template = [line(0), line(1)].concat();
    for _ in 0..60 {
        let mut input = template.clone().into_bytes();
        for _ in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random >> 33).unwrap() % input.len();
            input[at] = random.to_le_bytes()[0];
        }
        let ran = place.run_with("import - --store store --skip-invalid", &input);
        assert!(matches!(ran.code, Some(0 | 1)), "{input:?}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{input:?}: {ran:?}");
    }
}
