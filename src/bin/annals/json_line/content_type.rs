//! Content types by name.

use annals::ContentType;

/// Returns the name of a content type: a word, or the number of one that has none.
pub(super) fn name(content_type: ContentType) -> String {
    match content_type {
        ContentType::Json => "json".into(),
        ContentType::Text => "text".into(),
        ContentType::Bytes => "bytes".into(),
        ContentType::Bincode => "bincode".into(),
        ContentType::Other(number) => number.to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Returns the content type of a name; `None` when there is none of that name.
pub(super) fn of_name(name: &str) -> Option<ContentType> {
    match name {
        "json" => Some(ContentType::Json),
        "text" => Some(ContentType::Text),
        "bytes" => Some(ContentType::Bytes),
        "bincode" => Some(ContentType::Bincode),
        number => number.parse().ok().map(ContentType::Other),
    }
}
