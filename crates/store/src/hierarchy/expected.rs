//! What mailfleet needs of the hierarchy's tables, as data. A new column is a line here.

use super::catalog::FoundColumn;

/// The longest `storage_key`: `email_`, a Message-ID of 200 characters, `_`, 32 hex digits.
const KEY_CHARS: u32 = 239;
/// Longest address kept in `from_email`, in characters (RFC 5321 §4.5.3.1.3 allows a path of 256 with its brackets).
pub(crate) const ADDRESS_MAX_CHARS: usize = 254;
/// Longest file name kept of an attachment, in characters.
pub(crate) const FILENAME_MAX_CHARS: usize = 255;
/// Longest MIME type kept, in characters; the longest registered ones have about 80.
pub(crate) const MIME_TYPE_MAX_CHARS: usize = 100;
/// Longest Content-ID kept, in characters (RFC 5322 §2.1.1 limits the line).
pub(crate) const CONTENT_ID_MAX_CHARS: usize = 998;
/// How long a mail is kept by default, in days: seven years.
pub(crate) const RETENTION_DAYS: i32 = 2555;

/// What values a column must be able to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Text of any length.
    Text,
    /// Text of at most so many characters: mailfleet cuts it there, so a `varchar` of that length will do.
    ShortText(u32),
    /// A UUID.
    Uuid,
    /// JSONB.
    Jsonb,
    /// A whole number below 2³¹.
    Integer,
    /// Bytes.
    Bytes,
    /// A moment, with time zone.
    Time,
    /// An identity that the table gives itself.
    OwnId,
}

impl Shape {
    /// The type as PostgreSQL writes it.
    pub(crate) const fn type_name(self) -> &'static str {
        match self {
            Self::Text | Self::ShortText(_) => "text",
            Self::Uuid | Self::OwnId => "uuid",
            Self::Jsonb => "jsonb",
            Self::Integer => "bigint",
            Self::Bytes => "bytea",
            Self::Time => "timestamp with time zone",
        }
    }

    /// What is expected, for people.
    pub(crate) fn wanted(self) -> String {
        match self {
            Self::ShortText(chars) => format!("text, or varchar({chars}) and longer"),
            Self::Integer => "bigint or integer".to_owned(),
            Self::OwnId => "uuid or bigint with a default".to_owned(),
            Self::Text | Self::Uuid | Self::Jsonb | Self::Bytes | Self::Time => self.type_name().to_owned(),
        }
    }

    /// Whether a column that stands there can hold what mailfleet writes.
    pub(crate) fn fits(self, found: &FoundColumn) -> bool {
        let base = found.base_type.as_str();
        match self {
            Self::Text | Self::ShortText(_) => {
                let long_enough = match (found.max_chars, self) {
                    (None, _) => true,
                    (Some(have), Self::ShortText(need)) => have >= need,
                    (Some(_), _) => false,
                };
                matches!(base, "text" | "character varying" | "citext") && long_enough
            }
            Self::Integer => matches!(base, "bigint" | "integer"),
            Self::OwnId => matches!(base, "uuid" | "bigint" | "integer") && found.fills_itself,
            Self::Uuid | Self::Jsonb | Self::Bytes | Self::Time => base == self.type_name(),
        }
    }
}

/// A column that mailfleet needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// What follows the type where mailfleet creates the table.
    pub(crate) constraint: &'static str,
    /// What follows the type where the column is added to a table with rows: it must hold for those too.
    pub(crate) added: &'static str,
    pub(crate) comment: &'static str,
}

/// An index that mailfleet's own queries need, beside the keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Index {
    pub(crate) name: &'static str,
    pub(crate) unique: bool,
    /// What stands between the brackets.
    pub(crate) on: &'static str,
    /// Only needed where `storage_key` is not of collation C, whose key serves the same lookups.
    pub(crate) only_without_c_collation: bool,
}

/// A table that mailfleet needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) comment: &'static str,
    pub(crate) columns: &'static [Column],
    /// The columns that tell rows apart; a primary key or unique index over them must stand.
    pub(crate) key: &'static [&'static str],
    /// The column that refers to `email_content`, and what follows the reference.
    pub(crate) refers: Option<(&'static str, &'static str)>,
    pub(crate) indexes: &'static [Index],
}

/// All, parents first.
pub(crate) const ALL: [&Table; 3] = [&CONTENT, &MESSAGES, &ATTACHMENTS];

const fn column(
    name: &'static str,
    shape: Shape,
    constraint: &'static str,
    added: &'static str,
    comment: &'static str,
) -> Column {
    Column { name, shape, constraint, added, comment }
}

const fn plain(name: &'static str, shape: Shape, comment: &'static str) -> Column {
    column(name, shape, "", "", comment)
}

/// Collation C: keys are compared as bytes, which is faster and lets the primary key serve prefix lookups.
const KEY: &str = "COLLATE \"C\" PRIMARY KEY";

pub(crate) const CONTENT: Table = Table {
    name: "email_content",
    comment: "One row per mail of an account: what it says. Written once by mailfleet, never updated.",
    columns: &[
        column(
            "storage_key",
            Shape::ShortText(KEY_CHARS),
            KEY,
            "",
            "email_<message-id or none>_<32 hex of SHA-256>; deterministic, so that the same mail is the same row",
        ),
        column("tenant_id", Shape::Uuid, "NOT NULL", "", "The tenant that owns the mail"),
        plain("content_text", Shape::Text, "The text; made from the HTML where the mail has none"),
        plain("content_html", Shape::Text, "The HTML; made from the text where the mail has none"),
        plain(
            "headers",
            Shape::Jsonb,
            "Object: lower-case header name to decoded value, an array where the header is repeated",
        ),
        plain("raw_size_bytes", Shape::Integer, "Size of the mail as fetched, in bytes"),
        plain(
            "compressed_size_bytes",
            Shape::Integer,
            "Size as kept, in bytes, where mailfleet itself compressed it; else NULL",
        ),
        plain("content_hash", Shape::ShortText(64), "SHA-256 of the mail in canonical form, 64 hex digits"),
        plain(
            "compression_algorithm",
            Shape::ShortText(16),
            "How mailfleet compressed the row: none (PostgreSQL's own compression is not counted)",
        ),
        column("created", Shape::Time, "NOT NULL DEFAULT now()", "DEFAULT now()", "When the row was written"),
        plain("expires", Shape::Time, "When retention may remove the row"),
        column(
            "retention_days",
            Shape::Integer,
            "NOT NULL DEFAULT 2555",
            "DEFAULT 2555",
            "Days between created and expires",
        ),
    ],
    key: &["storage_key"],
    refers: None,
    indexes: &[],
};

pub(crate) const MESSAGES: Table = Table {
    name: "email_messages",
    comment: "One row per mail of an account: who, when, what kind, and what became of it.",
    columns: &[
        column("storage_key", Shape::ShortText(KEY_CHARS), KEY, "", "The mail in email_content"),
        column("tenant_id", Shape::Uuid, "NOT NULL", "", "The tenant that owns the mail"),
        plain(
            "email_account_id",
            Shape::Uuid,
            "The account it came to or left from (mailfleet.email_accounts.id)",
        ),
        plain("campaign_id", Shape::Uuid, "The campaign it belongs to, where known"),
        plain("lead_id", Shape::Uuid, "The lead it belongs to, where known"),
        plain("parent_storage_key", Shape::ShortText(KEY_CHARS), "The mail it answers, where known"),
        plain(
            "thread_id",
            Shape::ShortText(34),
            "The same for all mails of a conversation: t_<32 hex digits>",
        ),
        column("direction", Shape::ShortText(8), "NOT NULL", "", "inbound or outbound"),
        column(
            "message_type",
            Shape::ShortText(20),
            "NOT NULL DEFAULT 'email'",
            "DEFAULT 'email'",
            "email, bounce, auto_reply, complaint, read_receipt, calendar, unsubscribe",
        ),
        plain("from_email", Shape::ShortText(254), "Sender's address, cut at 254 characters"),
        plain("to_email", Shape::Text, "Recipients' addresses, joined by commas"),
        plain("subject", Shape::Text, "Subject, decoded"),
        column(
            "status",
            Shape::ShortText(12),
            "NOT NULL",
            "",
            "received; outbound: queued, sent, deferred, delivered, bounced, complained, the worst of its recipients",
        ),
        plain("processed", Shape::Time, "When mailfleet stored it"),
        column(
            "created",
            Shape::Time,
            "NOT NULL DEFAULT now()",
            "DEFAULT now()",
            "When the mail came (INTERNALDATE of its server, else its Date)",
        ),
        column(
            "updated",
            Shape::Time,
            "NOT NULL DEFAULT now()",
            "DEFAULT now()",
            "When the row was last changed",
        ),
    ],
    key: &["storage_key"],
    refers: Some(("storage_key", "")),
    indexes: &[
        Index {
            name: "email_messages_tenant_created_idx",
            unique: false,
            on: "tenant_id, created",
            only_without_c_collation: false,
        },
        // The ledger keeps the hash of a key alone: this is the way back from it to the mail.
        Index {
            name: "email_messages_key_hash_idx",
            unique: false,
            on: "(right(storage_key, 32))",
            only_without_c_collation: false,
        },
        // All mails of a Message-ID are found by the beginning of their keys.
        Index {
            name: "email_messages_key_c_idx",
            unique: false,
            on: "storage_key COLLATE \"C\"",
            only_without_c_collation: true,
        },
    ],
};

pub(crate) const ATTACHMENTS: Table = Table {
    name: "attachments",
    comment: "The attachments of a mail, in the order in which they stand in it.",
    columns: &[
        column(
            "id",
            Shape::OwnId,
            "PRIMARY KEY DEFAULT gen_random_uuid()",
            "DEFAULT gen_random_uuid()",
            "Identity of the row",
        ),
        column("tenant_id", Shape::Uuid, "NOT NULL", "", "The tenant that owns the mail"),
        column(
            "parent_storage_key",
            Shape::ShortText(KEY_CHARS),
            "COLLATE \"C\" NOT NULL",
            "",
            "The mail in email_content",
        ),
        column("ordinal", Shape::Integer, "NOT NULL", "", "Place within the mail, from 0"),
        plain("filename", Shape::ShortText(255), "File name without any directory, cut at 255 characters"),
        plain("mime_type", Shape::ShortText(100), "Media type, lower case, such as application/pdf"),
        plain("size_bytes", Shape::Integer, "Size of the content, in bytes"),
        plain("content", Shape::Bytes, "The content, decoded"),
        plain("storage_disposition", Shape::ShortText(10), "inline or attachment"),
        plain(
            "content_id",
            Shape::ShortText(998),
            "Content-ID without brackets, by which the HTML refers to it",
        ),
        plain("content_hash", Shape::ShortText(64), "SHA-256 of the content, 64 hex digits"),
        column("created", Shape::Time, "NOT NULL DEFAULT now()", "DEFAULT now()", "When the row was written"),
    ],
    key: &["parent_storage_key", "ordinal"],
    refers: Some(("parent_storage_key", "ON DELETE CASCADE")),
    indexes: &[Index {
        name: "attachments_parent_ordinal_key",
        unique: true,
        on: "parent_storage_key, ordinal",
        only_without_c_collation: false,
    }],
};
