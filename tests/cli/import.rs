//! `import`: what is recorded, what is recognised, and which line is named.

use std::fs;

use annals::{ContentType, EventId, EventStore, ExpectedVersion, FileStore, NewEvent};

use crate::program::{Place, assert_are_lines, events_of, gzip, line, lines};

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
fn an_import_that_takes_nothing_makes_neither_a_store_nor_a_directory() {
    let place = Place::new();
    place.file("empty", "");
    place.file("blank", "\n \n\n");
    place.file("nonsense", "nonsense\n");
    place.file("refused", line(0).replace("Placed", ""));
    place.file("claim", line(0).replace("\"data\"", "\"aggregate_version\":2,\"data\""));
    let files = fs::read_dir(place.path()).unwrap().count();
    for (input, code) in
        [("empty", 0), ("blank", 0), ("nonsense", 1), ("refused", 1), ("claim", 1), ("absent", 1)]
    {
        for options in ["", " --skip-invalid"] {
            let ran = place.run(&format!("import {input} --store a/b/store{options}"));
            assert_eq!(ran.code, Some(code), "{input}{options}: {ran:?}");
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), files, "{input}{options}");
        }
    }
    let ran = place.run("import empty --store a/b/store");
    assert_eq!(ran.printed(), "0 events read, 0 appended, 0 recognised\n");

    place.file("events", [line(0).replace("Placed", ""), line(0)].concat());
    let ran = place.run("import events --store a/b/store --skip-invalid");
    assert_eq!(ran.stdout, "1 events read, 1 appended, 0 recognised, 1 skipped\n");
    assert_eq!(events_of(&place.path().join("a/b/store")).len(), 1);
}

#[test]
fn an_import_that_takes_nothing_removes_nothing_that_was_there() {
    let place = Place::new();
    place.file("nonsense", "nonsense\n");
    fs::create_dir(place.path().join("empty")).unwrap();
    FileStore::open(place.store()).unwrap().close().unwrap();
    let before = fs::read_dir(place.store()).unwrap().count();
    for store in ["empty", "store"] {
        place.run(&format!("import nonsense --store {store}")).failed(1, &["line 1: "]);
    }
    assert_eq!(fs::read_dir(place.path().join("empty")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(place.store()).unwrap().count(), before);
    assert_eq!(place.events(), []);
    place.file("events", line(0));
    place.run("import events --store empty").printed();
    assert_eq!(events_of(&place.path().join("empty")).len(), 1);
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
    let packed = gzip(&[line(0).into_bytes(), vec![b' '; 98 << 20], line(1).into_bytes()].concat());
    place.file("events", [packed, gzip(line(1).as_bytes())].concat());
    place.run(IMPORT).failed(1, &["line 2: the line is longer than 101711872 bytes (97 MiB)"]);
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
fn a_job_whose_every_line_is_skipped_has_failed() {
    let place = Place::new();
    place.file("events", "nonsense\n{}\n");
    let ran = place.run("import events --store store --skip-invalid");
    ran.failed(1, &["line 1: ", "line 2: ", "no line was taken"]);
    assert_eq!(ran.stdout, "0 events read, 0 appended, 0 recognised, 2 skipped\n");

    place.run_with("import - --store store", line(0).as_bytes()).printed();
    place.file("events", [line(0), "nonsense\n".into()].concat());
    let ran = place.run("import events --store store --skip-invalid");
    ran.failed(0, &["line 2: "]);
}

#[test]
fn refused_lines_are_kept_exactly_as_they_were() {
    let place = Place::new();
    let long = [b"  x\xff".to_vec(), vec![b'y'; 98 << 20], b"\r\n".to_vec()].concat();
    let taken = "\"event_id\":\"018f0000-0000-7000-8000-000000000001\",\"data\"";
    let refused = [
        b"\xef\xbb\xbf nonsense \t\r\n".to_vec(),
        long,
        line(2).replace("\"data\"", taken).replace("\n", " \r\n").into_bytes(),
        line(3).replace("Paid", "").into_bytes(),
        b"{\"aggregate_type\": \"T\"".to_vec(),
    ];
    let [bad, long, other, unnamed, last] = &refused;
    let sound = line(1).replace("\"data\"", taken).into_bytes();
    let input =
        [bad, &line(0).into_bytes(), long, &sound, other, &line(4).into_bytes(), unnamed, last];
    place.file("events", gzip(&input.map(Vec::as_slice).concat()));
    let ran = place.run("import events --store store --skip-invalid --rejects refused.jsonl");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "3 events read, 3 appended, 0 recognised, 5 skipped\n");
    assert!(fs::read(place.path().join("refused.jsonl")).unwrap() == refused.concat());
}

#[test]
fn a_file_for_refused_lines_is_made_for_the_first_and_never_written_over() {
    let place = Place::new();
    place.file("events", [line(0), "nonsense\n".into()].concat());
    place.file("sound", line(0));
    place.run("import sound --store store --rejects refused").printed();
    assert!(!place.path().join("refused").exists());

    place.run("import events --store store --rejects refused").failed(1, &["line 2: "]);
    assert_eq!(fs::read(place.path().join("refused")).unwrap(), b"nonsense\n");
    for input in ["events", "sound"] {
        let ran = place.run(&format!("import {input} --store other --rejects refused"));
        ran.failed(2, &["--rejects refused", "name a file that is not there yet"]);
    }
    assert_eq!(fs::read(place.path().join("refused")).unwrap(), b"nonsense\n");
    assert!(!place.path().join("other").exists());

    let ran = place.run("import events --store store --skip-invalid --rejects no/dir");
    ran.failed(1, &["line 2: can not keep the refused line"]);
}

#[test]
fn what_is_recognised_with_other_fields_is_counted_and_the_first_is_named() {
    let place = Place::new();
    let id = |number: usize| format!("018f0000-0000-7000-8000-{number:012}");
    let with = |number: usize, more: &str| {
        let fields = format!("\"event_id\":\"{}\"{more},\"data\"", id(number));
        line(number).replace("\"data\"", &fields)
    };
    place.file("events", (0..6).map(|number| with(number, "")).collect::<String>());
    place.run(IMPORT).printed();
    assert_eq!(place.run(IMPORT).printed(), "6 events read, 0 appended, 6 recognised\n");
    let before = place.events();

    let changed = [
        with(0, ""),
        with(1, ",\"tags\":[\"a\"]"),
        with(2, ",\"tenant_id\":\"t\""),
        with(3, "").replace("2024-", "2025-"),
        with(4, ",\"metadata\":{\"a\":\"b\"}"),
        with(5, ",\"actor_id\":\"a\",\"event_version\":2"),
        with(6, ""),
        with(6, ",\"tags\":[\"twice in one commit\"]"),
    ];
    place.file("events", changed.concat());
    let ran = place.run(IMPORT);
    let first = format!("first: line 2, event {}: `tags`", id(1));
    ran.failed(0, &["6 lines recognised", "other fields differ", &first]);
    assert_eq!(ran.stdout, "8 events read, 1 appended, 7 recognised, 6 of them different\n");
    assert_eq!(place.events()[..6], before);
}

#[test]
fn equal_lines_without_id_and_time_are_told_within_a_file_and_across_files() {
    let place = Place::new();
    let timeless =
        |index: usize| line(index).replace("\"occurred_at\":\"2024-01-01T00:00:00+01:00\",", "");
    place.file(
        "events",
        [timeless(0), timeless(1), line(2), line(2), timeless(0), timeless(0)].concat(),
    );
    let ran = place.run(IMPORT);
    ran.failed(0, &["2 lines without `event_id` and `occurred_at`", "(first: line 5)"]);
    assert_eq!(ran.stdout, "6 events read, 6 appended, 0 recognised\n");

    place.file("other", [line(2), timeless(3), timeless(1), timeless(0)].concat());
    let ran = place.run("import other --store store");
    ran.failed(
        0,
        &["2 lines without `event_id` and `occurred_at`", "recorded already", "(first: line 3)"],
    );
    assert_eq!(ran.stdout, "4 events read, 1 appended, 3 recognised\n");

    let ran = place.run("import other --store store --quiet");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn quiet_prints_nothing_but_errors() {
    let place = Place::new();
    place.file("events", lines(3));
    assert_eq!(place.run("import events --store store -q").printed(), "");
    place.file("events", [line(3), "nonsense\n".into()].concat());
    let ran = place.run("import events --store store -q --skip-invalid");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert_eq!(ran.stderr, "annals: line 2: not a JSON object; skipped\n");
    let ran = place.run("import events --store store -q");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(ran.stderr, "annals: line 2: not a JSON object\n");
}

#[test]
fn a_field_of_the_wrong_type_is_named_with_its_value_and_null_is_left_out() {
    let place = Place::new();
    place.file("events", line(0).replace("\"order-0\"", "42"));
    place.run(IMPORT).failed(1, &["line 1: `aggregate_id: 42`: expected a text"]);
    let nulls = concat!(
        "\"tags\":null,\"metadata\":null,\"tenant_id\":null,\"actor_id\":null,\"event_id\":null,",
        "\"correlation_id\":null,\"causation_id\":null,\"event_version\":null,\"content_type\":null,",
        "\"data_base64\":null,\"aggregate_version\":null,\"data\""
    );
    place.file("events", line(0).replace("\"data\"", nulls));
    place.run(IMPORT).printed();
    assert_are_lines(&place.events(), 1);
}

#[test]
fn zeros_behind_gzip_data_are_passed_over() {
    let place = Place::new();
    let (front, back) = (gzip(line(0).as_bytes()), gzip(line(1).as_bytes()));
    place.file("events", [&front[..], &[0; 512], &back, &[0; 10_240]].concat());
    assert_eq!(place.run(IMPORT).printed(), "2 events read, 2 appended, 0 recognised\n");
    assert_are_lines(&place.events(), 2);
    place.file("events", [&front[..], &[0; 512], b"rest"].concat());
    place.run(IMPORT).failed(1, &["line 2: ", "neither gzip nor zeros"]);
}

#[test]
fn forms_that_are_not_read_are_named_with_the_command_that_helps() {
    let place = Place::new();
    let utf_16 = |units: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        format!("{mark}{}", lines(2)).encode_utf16().flat_map(units).collect()
    };
    let array = format!("[{}]", lines(2).trim_end().replace('\n', ","));
    let long_array = format!("[\n{}\n]\n", lines(1));
    let pretty = lines(2).replace('{', "{\n ").replace(',', ",\n ");
    let cases: [(&[u8], &str); 12] = [
        (b"\x28\xb5\x2f\xfd\x24\x05\x29\x00\x00", "zstd -dc e.v"),
        (b"\xfd7zXZ\x00\x00\x04\xe6\xd6", "xz -dc e.v"),
        (b"BZh91AY&SY\x00\n", "bzip2 -dc e.v"),
        (b"PK\x03\x04\x14\x00\x08\n", "unzip -p e.v"),
        (b"PAR1\x15\x04\x15\n", "duckdb"),
        (&utf_16(u16::to_le_bytes, "\u{feff}"), "iconv -f UTF-16 -t UTF-8 e.v"),
        (&utf_16(u16::to_be_bytes, "\u{feff}"), "iconv -f UTF-16 -t UTF-8 e.v"),
        (&utf_16(u16::to_le_bytes, ""), "iconv -f UTF-16LE -t UTF-8 e.v"),
        (&utf_16(u16::to_be_bytes, ""), "iconv -f UTF-16BE -t UTF-8 e.v"),
        (array.as_bytes(), "jq -c '.[]' e.v"),
        (long_array.as_bytes(), "jq -c '.[]' e.v"),
        (pretty.as_bytes(), "jq -c . e.v"),
    ];
    for (input, command) in cases {
        place.file("e.v", input);
        let ran = place.run("import e.v --store store");
        ran.failed(1, &["line 1: ", command, "| annals import -`"]);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        let ran = place.run_with("import - --store store --skip-invalid", input);
        ran.failed(1, &["line 1: ", "| annals import -`"]);
        place.file("e.v", gzip(input));
        place.run("import e.v --store store").failed(1, &["gzip -dc e.v "]);
        assert!(!place.store().exists());
    }
}

#[test]
fn what_can_be_recorded_at_the_limits_fits_into_a_line() {
    let place = Place::new();
    let store = FileStore::open(place.store()).unwrap();
    let controls = "\u{1}".repeat(16 << 20);
    let full = NewEvent::new("Full", controls.clone()).content_type(ContentType::Text);
    let full = full.metadata("k", "\u{2}".repeat(65_000));
    let json = format!("\"{}\"", "x".repeat((16 << 20) - 2));
    let json = NewEvent::new("Json", json).content_type(ContentType::Json);
    let stream = "a:Large".parse().unwrap();
    store.append(&stream, ExpectedVersion::Any, vec![full, json]).unwrap();
    store.close().unwrap();
    let printed = place.run("read --store store --json");
    assert!(printed.printed().len() < 41 << 20);
    let ran = place.run_with("import - --store store", printed.stdout.as_bytes());
    assert_eq!(ran.printed(), "2 events read, 0 appended, 2 recognised\n");

    // As other programs write it: six characters for each.
    let escaped = "\\u0001".repeat(16 << 20);
    let line = line(0).replace("{\"n\":0}", &format!("\"{escaped}\",\"content_type\":\"text\""));
    place.run_with("import - --store copy", line.as_bytes()).printed();
    assert!(events_of(&place.path().join("copy"))[0].payload() == controls.as_bytes());
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
