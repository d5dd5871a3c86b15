//! One file in winmail.dat, which may be a message with files of its own.

use crate::defect::Defect;
use crate::filename;
use crate::mail::Attachment;
use crate::words::Decoder;
use mailfleet_model::Disposition;

use super::properties::Property;
use super::{MAX_DEPTH, Opened, Taking, Text, id, is_tnef, stream, text};

/// Bytes of a name or a type that are read.
const LONGEST_WORD: usize = 4 * 1024;

/// One file while its attributes are read.
#[derive(Default)]
pub(super) struct File<'a> {
    pub(super) title: Option<Text<'a>>,
    /// By preference, the best first.
    names: [Option<Text<'a>>; 3],
    mime_type: Option<Text<'a>>,
    content_id: Option<Text<'a>>,
    pub(super) data: Option<&'a [u8]>,
    /// A whole message in a stream of its own.
    message: Option<&'a [u8]>,
}

impl<'a> File<'a> {
    pub(super) fn take(&mut self, property: Property<'a>) {
        match property.id {
            id::LONG_NAME => self.names[0] = text(property),
            id::SHORT_NAME => self.names[1] = text(property),
            id::DISPLAY_NAME => self.names[2] = text(property),
            id::MIME_TYPE => self.mime_type = text(property),
            id::CONTENT_ID => self.content_id = text(property),
            id::DATA => match property.object() {
                Some(object) if is_tnef(object) => self.message = Some(object),
                Some(object) => self.data = self.data.or(Some(object)),
                None => self.data = self.data.or(property.bytes()),
            },
            _ => {}
        }
    }
}

/// Makes an attachment of a file, and opens the message that it may be.
pub(super) fn finish(
    file: Option<File<'_>>,
    page: &str,
    depth: usize,
    taking: &mut Taking<'_>,
    opened: &mut Opened,
    decoder: &mut Decoder,
) {
    let Some(file) = file else { return };
    let Some(content) = file.message.or(file.data) else { return };
    if taking.room == 0 {
        decoder.found.note(Defect::TooManyParts);
        return;
    }
    if !taking.budget.decode(content.len(), &mut decoder.found) {
        return;
    }
    taking.room -= 1;
    let mut read = |text: Text<'_>| {
        let text = text.beginning(LONGEST_WORD).read(page, decoder).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let [long, short, display] = file.names.map(|name| name.and_then(&mut read));
    let title = file.title.and_then(&mut read);
    let mime_type = file
        .mime_type
        .and_then(&mut read)
        .map(|mime_type| mime_type.to_ascii_lowercase())
        .filter(|mime_type| mime_type.contains('/') && mime_type.len() <= 255);
    let content_id = file.content_id.and_then(&mut read).map(|id| id.trim_matches(['<', '>']).to_owned());
    let fallback =
        if file.message.is_some() { "application/ms-tnef" } else { "application/octet-stream" }.to_owned();
    opened.files.push(Attachment {
        filename: long
            .or(title)
            .or(short)
            .or(display)
            .and_then(|name| filename::sanitise(&name, &mut decoder.found)),
        mime_type: mime_type.filter(|_| file.message.is_none()).unwrap_or(fallback),
        content: content.to_vec(),
        disposition: if content_id.is_some() { Disposition::Inline } else { Disposition::Attachment },
        content_id,
    });
    if let Some(message) = file.message
        && depth < MAX_DEPTH
        && !stream(message, depth + 1, taking, opened, decoder)
    {
        decoder.found.note(Defect::BadTnef);
    }
}
