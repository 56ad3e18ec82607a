//! Forms of an input that are not lines of JSON: what they are called, and the command that makes lines of
//! them.
//!
//! A form is known by how the input begins. It is asked for only when a line could not be read, so a
//! text that begins by chance as a packed file does is never refused for that.

use std::path::{Path, PathBuf};

/// A form that `import` does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    name: &'static str,
    /// Makes lines of JSON of a file, whose name stands for `{}`.
    of_file: &'static str,
    /// The same of standard input; without one there has to be a file.
    of_pipe: Option<&'static str>,
}

const fn form(name: &'static str, of_file: &'static str, of_pipe: &'static str) -> Form {
    Form { name, of_file, of_pipe: Some(of_pipe) }
}

const UTF_16: Form =
    form("UTF-16, not UTF-8", "iconv -f UTF-16 -t UTF-8 {}", "iconv -f UTF-16 -t UTF-8");
const UTF_16_LE: Form =
    form("UTF-16, not UTF-8", "iconv -f UTF-16LE -t UTF-8 {}", "iconv -f UTF-16LE -t UTF-8");
const UTF_16_BE: Form =
    form("UTF-16, not UTF-8", "iconv -f UTF-16BE -t UTF-8 {}", "iconv -f UTF-16BE -t UTF-8");
const UTF_32: Form =
    form("UTF-32, not UTF-8", "iconv -f UTF-32 -t UTF-8 {}", "iconv -f UTF-32 -t UTF-8");
const PARQUET: &str = "duckdb -c \"COPY (FROM {}) TO '/dev/stdout' (FORMAT json)\"";

/// How an input of each form begins; of two that begin alike the longer one stands first.
const FORMS: &[(&[u8], Form)] = &[
    (b"\x28\xb5\x2f\xfd", form("packed with zstd", "zstd -dc {}", "zstd -dc")),
    (b"\xfd7zXZ\0", form("packed with xz", "xz -dc {}", "xz -dc")),
    (b"BZh", form("packed with bzip2", "bzip2 -dc {}", "bzip2 -dc")),
    (b"\x04\x22\x4d\x18", form("packed with lz4", "lz4 -dc {}", "lz4 -dc")),
    (b"\x1f\x9d", form("packed with compress", "gzip -dc {}", "gzip -dc")),
    (b"PK\x03\x04", form("a zip archive", "unzip -p {}", "funzip")),
    (b"7z\xbc\xaf\x27\x1c", Form { name: "a 7z archive", of_file: "7z x -so {}", of_pipe: None }),
    (b"PAR1", Form { name: "Parquet", of_file: PARQUET, of_pipe: None }),
    (b"\xff\xfe\0\0", UTF_32),
    (b"\0\0\xfe\xff", UTF_32),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
    (b"{\0", UTF_16_LE),
    (b"[\0", UTF_16_LE),
    (b"\0{", UTF_16_BE),
    (b"\0[", UTF_16_BE),
];

/// One JSON value that holds all events.
pub(crate) const ARRAY: Form = form(
    "a JSON array, not an object; to make a line of each of its elements",
    "jq -c '.[]' {}",
    "jq -c '.[]'",
);

/// Objects that go over several lines.
pub(crate) const PRETTY: Form = form(
    "only the beginning of a JSON object; where objects go over several lines, to make a line of each",
    "jq -c . {}",
    "jq -c .",
);

/// Returns the form of an input that begins with these bytes; none where it is not known.
pub(crate) fn of(beginning: &[u8]) -> Option<Form> {
    FORMS.iter().find(|(magic, _)| beginning.starts_with(magic)).map(|(_, form)| *form)
}

/// Where an input comes from, as far as it matters for a command that reads it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// The file; none of standard input.
    pub(crate) file: Option<PathBuf>,
    /// Whether it was unpacked from gzip.
    pub(crate) is_gzip: bool,
}

impl Form {
    /// Returns the sentence that says what the input is and which command helps.
    pub(crate) fn advice(self, origin: &Origin) -> String {
        let command = self.command(origin);
        let (name, comma) = (self.name, if self.name.contains("to make") { ":" } else { "; use" });
        format!("this is {name}{comma} `{command} | annals import -`")
    }

    fn command(self, Origin { file, is_gzip }: &Origin) -> String {
        let name = file.as_deref().map_or_else(|| "FILE".to_owned(), quoted);
        match (self.of_pipe, file, is_gzip) {
            (Some(pipe), Some(_), true) => format!("gzip -dc {name} | {pipe}"),
            (Some(pipe), None, true) => format!("... | gzip -dc | {pipe}"),
            (Some(pipe), None, false) => format!("... | {pipe}"),
            (None, Some(_), true) => {
                format!(
                    "gzip -dc {name} >FILE; {}",
                    self.of_file.replace("{}", &self.named("FILE"))
                )
            }
            _ => self.of_file.replace("{}", &self.named(&name)),
        }
    }

    /// Quotes a name that stands within a text of another language.
    fn named(self, name: &str) -> String {
        match self.of_file == PARQUET && !name.starts_with('\'') {
            true => format!("'{name}'"),
            false => name.to_owned(),
        }
    }
}

/// Returns a path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_alphanumeric() || "_./-+,@:".contains(character);
    match !text.starts_with('-') && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_known_by_its_beginning_and_names_its_command() {
        let file = Origin { file: Some("a file".into()), is_gzip: false };
        let pipe = Origin::default();
        for (beginning, in_file, in_pipe) in [
            (&b"\x28\xb5\x2f\xfd\x00"[..], "zstd -dc 'a file' | annals", "... | zstd -dc | annals"),
            (b"\xfd7zXZ\0\0", "xz -dc 'a file'", "xz -dc"),
            (b"BZh91AY", "bzip2 -dc 'a file'", "bzip2 -dc"),
            (b"PK\x03\x04", "unzip -p 'a file'", "funzip"),
            (b"PAR1", "(FROM 'a file')", "(FROM 'FILE')"),
            (b"\xff\xfe{\0", "iconv -f UTF-16 -t UTF-8 'a file'", "iconv -f UTF-16 -t UTF-8 |"),
            (b"\xfe\xff\0{", "iconv -f UTF-16 ", "iconv -f UTF-16 "),
            (b"{\0\"\0", "iconv -f UTF-16LE ", "iconv -f UTF-16LE "),
            (b"\0{\0\"", "iconv -f UTF-16BE ", "iconv -f UTF-16BE "),
            (b"\xff\xfe\0\0{\0\0\0", "iconv -f UTF-32 ", "iconv -f UTF-32 "),
        ] {
            let form = of(beginning).unwrap();
            for (advice, part) in [(form.advice(&file), in_file), (form.advice(&pipe), in_pipe)] {
                assert!(advice.contains(part), "no {part} in {advice}");
                assert!(advice.ends_with(" | annals import -`"), "{advice}");
            }
        }
        for beginning in [&b"{\"a\":1}"[..], b"", b"nonsense", b"[1]"] {
            assert_eq!(of(beginning), None);
        }
    }

    #[test]
    fn what_was_packed_as_well_is_unpacked_first() {
        let origin = Origin { file: Some("e.gz".into()), is_gzip: true };
        assert!(ARRAY.advice(&origin).contains("`gzip -dc e.gz | jq -c '.[]' | annals import -`"));
    }
}
