//! The mail that came back, as a part of the report or in a part that is not labelled as one; where it stands in the
//! text is for `notice`.

use crate::defect::Found;
use crate::header::{self, Field};
use crate::limits::Limits;
use crate::mail::{Mail, Original};
use crate::message_id;
use crate::structure::Part;
use crate::words::Decoder;

/// What the returned mail, whole or headers only, says of itself.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    pub(crate) message_id: Option<String>,
    /// The addresses of its To field.
    pub(crate) to: Vec<String>,
    pub(crate) original: Original,
}

/// Reads a returned mail's top header.
pub(crate) fn read(content: &[u8], limits: &Limits, decoder: &mut Decoder) -> Returned {
    let content = crate::parse::prepare(content);
    let block = header::read(&content, 0, limits, &mut Found::default(), |_| false);
    read_fields(&block.fields, limits, decoder)
}

/// Reads the fields of a returned mail's top header.
fn read_fields(fields: &[Field<'_>], limits: &Limits, decoder: &mut Decoder) -> Returned {
    let mut addresses = |name| {
        let read =
            header::first(fields, name).map(|raw| crate::address::read(raw, limits.max_recipients, decoder));
        let read = read.unwrap_or_default().into_iter().map(|address| address.address);
        read.filter(|address| address.contains('@')).collect::<Vec<_>>()
    };
    let (to, cc) = (addresses("to"), addresses("cc"));
    let recipients = to.iter().chain(&cc).take(limits.max_recipients).cloned().collect();
    let headers = fields.iter().map(|field| (field.name.clone(), decoder.text(field.raw))).collect();
    Returned {
        message_id: header::first(fields, "message-id").and_then(|raw| message_id::read_one(raw, decoder)),
        to,
        original: Original { headers, recipients },
    }
}

/// The returned mail where its part is not labelled as one: a header in a text file, or as the header of the part.
pub(crate) fn mislabelled(
    mail: &Mail,
    parts: &[Part<'_>],
    limits: &Limits,
    decoder: &mut Decoder,
) -> Option<Returned> {
    const FILES: usize = 10;
    let is_header = |fields: &[Field<'_>]| {
        ["message-id", "from", "date"].iter().all(|name| header::first(fields, name).is_some())
    };
    if let Some(part) = parts.iter().skip(1).find(|part| is_header(&part.fields)) {
        return Some(read_fields(&part.fields, limits, decoder));
    }
    let files = mail.attachments.iter().filter(|file| file.mime_type.starts_with("text/")).take(FILES);
    files.map(|file| read(&file.content, limits, decoder)).find(|found| found.message_id.is_some())
}
