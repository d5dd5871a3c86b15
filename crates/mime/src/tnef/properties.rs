//! The property lists within TNEF (MS-OXTNEF section 2.1.3.4), read without believing a length.

/// Bytes, read from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_le_bytes(*first))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }

    /// As many bytes as there are, at most `length`.
    pub(super) fn up_to(&mut self, length: u32) -> &'a [u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.0.len());
        let (first, rest) = self.0.split_at(length);
        self.0 = rest;
        first
    }

    pub(super) fn skip(&mut self, length: u32) {
        self.up_to(length);
    }

    /// A counted value, and the bytes that fill it up to a multiple of four.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        let value = self.up_to(length);
        self.skip(length.wrapping_neg() & 3);
        Some(value)
    }
}

/// Types of values.
mod kind {
    pub(super) const INT16: u16 = 0x0002;
    pub(super) const INT32: u16 = 0x0003;
    pub(super) const FLOAT32: u16 = 0x0004;
    pub(super) const FLOAT64: u16 = 0x0005;
    pub(super) const CURRENCY: u16 = 0x0006;
    pub(super) const APP_TIME: u16 = 0x0007;
    pub(super) const ERROR: u16 = 0x000a;
    pub(super) const BOOLEAN: u16 = 0x000b;
    pub(super) const OBJECT: u16 = 0x000d;
    pub(super) const INT64: u16 = 0x0014;
    pub(super) const STRING: u16 = 0x001e;
    pub(super) const UNICODE: u16 = 0x001f;
    pub(super) const TIME: u16 = 0x0040;
    pub(super) const CLASS_ID: u16 = 0x0048;
    pub(super) const BINARY: u16 = 0x0102;
    /// Several values of a type.
    pub(super) const MANY: u16 = 0x1000;
}

/// One property; of several values the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Property<'a> {
    pub(super) id: u16,
    kind: u16,
    value: &'a [u8],
}

impl<'a> Property<'a> {
    /// Text or bytes.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        matches!(self.kind, kind::STRING | kind::UNICODE | kind::BINARY).then_some(self.value)
    }

    /// An object's content, behind the identifier of its interface.
    pub(super) fn object(self) -> Option<&'a [u8]> {
        const INTERFACE: usize = 16;
        (self.kind == kind::OBJECT).then(|| self.value.get(INTERFACE..)).flatten()
    }

    /// Whether it is text in UTF-16.
    pub(super) const fn is_unicode(self) -> bool {
        self.kind == kind::UNICODE
    }

    /// A whole number.
    pub(super) fn number(self) -> Option<u32> {
        (self.kind == kind::INT32).then(|| Reader::new(self.value).u32()).flatten()
    }
}

/// Hands each property of a list to `take`, up to the first that cannot be read.
pub(super) fn properties<'a>(list: &'a [u8], mut take: impl FnMut(Property<'a>)) {
    let mut reader = Reader::new(list);
    let count = reader.u32().unwrap_or(0);
    // At least four bytes each: the bound is the list's length, whatever the count says.
    for _ in 0..count {
        let Some(property) = property(&mut reader) else { return };
        take(property);
    }
}

fn property<'a>(reader: &mut Reader<'a>) -> Option<Property<'a>> {
    let (kind, id) = (reader.u16()?, reader.u16()?);
    if id >= 0x8000 {
        // A named property: whose, and a number or a name in UTF-16.
        reader.skip(16);
        match reader.u32()? {
            0 => reader.skip(4),
            _ => {
                reader.counted()?;
            }
        }
    }
    let (many, kind) = (kind & kind::MANY != 0, kind & !kind::MANY);
    let width = match kind {
        kind::INT16 | kind::INT32 | kind::FLOAT32 | kind::ERROR | kind::BOOLEAN => Some(4),
        kind::FLOAT64 | kind::CURRENCY | kind::APP_TIME | kind::INT64 | kind::TIME => Some(8),
        kind::CLASS_ID => Some(16),
        kind::OBJECT | kind::STRING | kind::UNICODE | kind::BINARY => None,
        _ => return None,
    };
    let count = if many || width.is_none() { reader.u32()? } else { 1 };
    let mut first = None;
    for _ in 0..count {
        if reader.is_empty() {
            break;
        }
        let value = match width {
            Some(width) => reader.up_to(width),
            None => reader.counted()?,
        };
        first.get_or_insert(value);
    }
    Some(Property { id, kind, value: first.unwrap_or_default() })
}
