//! The streams here are made by hand: attributes, property lists, and what hostile ones do.

use proptest::prelude::*;

use super::*;
use crate::Limits;

/// One attribute with its (unchecked) checksum.
fn attribute(tag: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&tag.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn tnef(attributes: &[Vec<u8>]) -> Vec<u8> {
    [SIGNATURE, &[1, 0], &attributes.concat()].concat()
}

/// A property list of variable-length values: type, identifier, value.
fn list(items: &[(u16, u16, &[u8])]) -> Vec<u8> {
    let mut bytes = u32::try_from(items.len()).unwrap().to_le_bytes().to_vec();
    for (kind, id, value) in items {
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        if *id >= 0x8000 {
            bytes.extend_from_slice(&[0; 16]);
            bytes.extend_from_slice(&[1, 0, 0, 0, 4, 0, 0, 0, b'x', 0, 0, 0]);
        }
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len() + (4 - value.len() % 4) % 4, 0);
    }
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn opened(content: &[u8]) -> (Opened, Vec<&'static str>) {
    let mut decoder = Decoder::new(100);
    let mut budget = Budget::new(content.len(), &Limits::default());
    let mut taking =
        Taking { room: 1_000, rtf_left: MAX_RTF, read_left: MAX_READ, keep_text: true, budget: &mut budget };
    let opened = open(content, &mut taking, &mut decoder);
    (opened, decoder.found.into_vec().iter().map(Defect::code).collect())
}

fn names(opened: &Opened) -> Vec<(Option<&str>, usize)> {
    opened.files.iter().map(|file| (file.filename.as_deref(), file.content.len())).collect()
}

#[test]
fn files_are_taken_out_with_their_long_names() {
    let stream = tnef(&[
        attribute(tag::CODE_PAGE, &[0xe3, 4, 0, 0, 0, 0, 0, 0]),
        attribute(tag::FILE_BEGINS, &[0; 14]),
        attribute(tag::FILE_DATA, b"first"),
        attribute(tag::FILE_TITLE, b"\xcf\xd0~1.TXT\0"),
        attribute(tag::FILE_BEGINS, &[0; 14]),
        attribute(tag::FILE_TITLE, b"LONG~1.TXT\0"),
        attribute(tag::FILE_DATA, b"second one"),
        attribute(
            tag::FILE_PROPERTIES,
            &list(&[
                (0x1f, 0x8001, &utf16("named")),
                (0x1f, id::LONG_NAME, &utf16("../Übersicht.txt")),
                (0x1e, id::MIME_TYPE, b"Text/Plain\0"),
                (0x1f, id::CONTENT_ID, &utf16("<pic@x>")),
            ]),
        ),
        attribute(tag::FILE_BEGINS, &[0; 14]),
        attribute(
            tag::FILE_PROPERTIES,
            &list(&[(0x102, id::DATA, b"third"), (0x1e, id::DISPLAY_NAME, b"c\0")]),
        ),
    ]);
    let (opened, defects) = opened(&stream);
    assert_eq!(
        names(&opened),
        [(Some("ПР~1.TXT"), 5), (Some("Übersicht.txt"), 10), (Some("c"), 5)],
        "{defects:?}"
    );
    let second = &opened.files[1];
    assert_eq!((second.mime_type.as_str(), second.content_id.as_deref()), ("text/plain", Some("pic@x")));
}

#[test]
fn the_text_of_the_message_is_a_file_and_can_stand_in_for_the_mails() {
    let stream = tnef(&[
        attribute(tag::BODY, b"Hello\r\nyou\0"),
        attribute(tag::MESSAGE_PROPERTIES, &list(&[(0x102, id::HTML, "<p>café".as_bytes())])),
    ]);
    let (opened, _) = opened(&stream);
    assert_eq!(names(&opened), [(Some("message.html"), 8), (Some("message.txt"), 10)]);
    assert_eq!((opened.text.as_deref(), opened.html.as_deref()), (Some("Hello\nyou"), Some("<p>café")));
}

/// Rich text that is not packed.
fn stored(rtf: &[u8]) -> Vec<u8> {
    let size = u32::try_from(rtf.len()).unwrap();
    let header = [0, size, 0x414c_454d, 0].into_iter().flat_map(u32::to_le_bytes);
    header.chain(rtf.iter().copied()).collect()
}

#[test]
fn html_that_is_wrapped_in_rich_text_is_that_of_the_message() {
    let rtf = stored(
        br"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}Hello\'80\htmlrtf\par\htmlrtf0{\*\htmltag72 </p>}}",
    );
    let message = |more: &[(u16, u16, &[u8])]| {
        let list = list(&[&[(0x102, id::RTF, &rtf[..])], more].concat());
        opened(&tnef(&[attribute(tag::MESSAGE_PROPERTIES, &list)])).0
    };
    let alone = message(&[]);
    assert_eq!(names(&alone), [(Some("message.rtf"), rtf.len() - 16), (Some("message.html"), 15)]);
    assert_eq!((alone.html.as_deref(), alone.text), (Some("<p>Hello€</p>"), None));
    let beside_text = message(&[(0x1e, id::BODY, b"Hello")]);
    assert_eq!(
        (beside_text.html.as_deref(), beside_text.text.as_deref()),
        (Some("<p>Hello€</p>"), Some("Hello"))
    );
    let beside_html = message(&[(0x1e, id::HTML, b"<p>own")]);
    assert_eq!(names(&beside_html).len(), 2, "it has one of its own");
    assert_eq!(beside_html.html.as_deref(), Some("<p>own"));
}

#[test]
fn a_message_within_the_message_is_kept_and_opened() {
    let inner = tnef(&[attribute(tag::FILE_BEGINS, &[]), attribute(tag::FILE_DATA, b"deep")]);
    let object = [&[0u8; 16][..], &inner].concat();
    let outer = |object: &[u8]| {
        let data = list(&[(0x0d, id::DATA, object), (0x1e, id::DISPLAY_NAME, b"Forwarded\0")]);
        tnef(&[attribute(tag::FILE_BEGINS, &[]), attribute(tag::FILE_PROPERTIES, &data)])
    };
    let (once, _) = opened(&outer(&object));
    assert_eq!(names(&once), [(Some("Forwarded"), inner.len()), (None, 4)]);
    let mut nested = inner;
    for _ in 0..20 {
        nested = outer(&[&[0u8; 16][..], &nested].concat());
    }
    assert_eq!(opened(&nested).0.files.len(), MAX_DEPTH + 1, "deeper ones stay closed");
}

#[test]
fn a_stream_that_ends_early_gives_what_came() {
    let whole = tnef(&[attribute(tag::FILE_BEGINS, &[]), attribute(tag::FILE_DATA, b"a long file")]);
    let (cut, defects) = opened(&whole[..whole.len() - 6]);
    assert_eq!((cut.files[0].content.as_slice(), defects.as_slice()), (&b"a long "[..], &["bad-tnef"][..]));
    assert!(opened(b"no TNEF at all").0.files.is_empty());
}

#[test]
fn a_million_files_are_bounded() {
    let file = [attribute(tag::FILE_BEGINS, &[]), attribute(tag::FILE_DATA, b"x")].concat();
    let (opened, defects) = opened(&tnef(&[file.repeat(200_000)]));
    assert_eq!((opened.files.len(), defects.as_slice()), (1_000, &["too-many-parts"][..]));
}

#[test]
fn packed_text_is_unpacked_up_to_a_bound_for_the_whole_mail() {
    let size = u32::try_from(MAX_RTF).unwrap() / 2 + 1;
    let header = [0, size, 0x7546_5a4c, 0].into_iter().flat_map(u32::to_le_bytes);
    // Each flag byte stands before eight literals.
    let packed: Vec<u8> = header.chain(b"\0literals".repeat(MAX_RTF / 16 + 1)).collect();
    let stream = tnef(&[attribute(tag::MESSAGE_PROPERTIES, &list(&[(0x102, id::RTF, &packed)]))]);
    let mut decoder = Decoder::new(100);
    let mut budget = Budget::new(10 * stream.len(), &Limits::default());
    let mut taking =
        Taking { room: 10, rtf_left: MAX_RTF, read_left: MAX_READ, keep_text: true, budget: &mut budget };
    let mut sizes = || -> usize {
        open(&stream, &mut taking, &mut decoder).files.iter().map(|file| file.content.len()).sum()
    };
    assert_eq!([sizes(), sizes(), sizes()], [size as usize, 0, 0], "the second would go beyond it");
}

proptest! {
    #[test]
    fn any_bytes_are_opened_without_harm(tail in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let content = [SIGNATURE, &tail].concat();
        let (opened, _) = opened(&content);
        prop_assert!(opened.files.iter().map(|file| file.content.len()).sum::<usize>() <= MAX_RTF + content.len());
    }

    #[test]
    fn any_property_list_is_read_without_harm(tail in proptest::collection::vec(any::<u8>(), 0..500), count in any::<u32>()) {
        let data = [&count.to_le_bytes()[..], &tail].concat();
        opened(&tnef(&[attribute(tag::FILE_PROPERTIES, &data), attribute(tag::MESSAGE_PROPERTIES, &data)]));
    }
}
