//! How raw mail is stored: small mail inside its entry, larger mail beside it, with zstd where it pays.

use bytes::Bytes;
use mailfleet_model::Encoding;

use crate::error::{Error, Result};
use crate::job::MAX_RAW_BYTES;

/// zstd level 1: mail is mostly base64 and HTML, where higher levels cost much and win little.
const LEVEL: i32 = 1;
/// Mail that packs into its entry is at most this many times as large: a claim of the most entries then holds 8 MiB that
/// were not weighed, at the default settings.
const MOST_PACKED: usize = 4;
/// Work on more bytes than this goes to the blocking threads, so that it does not hold up the runtime.
const BLOCKING_BYTES: usize = 256 << 10;

/// Raw bytes as they are stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) bytes: Bytes,
    pub(crate) encoding: Encoding,
    /// Inside the entry; else in a blob of its own.
    pub(crate) inline: bool,
}

/// Decides how one mail is stored.
fn store(raw: Bytes, inline_bytes: usize) -> Result<Stored> {
    if raw.len() <= inline_bytes {
        return Ok(Stored { bytes: raw, encoding: Encoding::Identity, inline: true });
    }
    let packed = zstd::bulk::compress(&raw, LEVEL)
        .map_err(|cause| Error::Codec { doing: "compress a mail", cause })?;
    // It pays from an eighth saved; below that, reading it back costs more than it is worth.
    if packed.len() <= raw.len() - raw.len() / 8 {
        // What travels inside is weighed as it is stored. A mail that packs from megabytes into that would slip past every
        // bound on memory, so it goes beside, where its true size is written down.
        let inline = packed.len() <= inline_bytes && raw.len() <= inline_bytes.saturating_mul(MOST_PACKED);
        return Ok(Stored { bytes: packed.into(), encoding: Encoding::Zstd, inline });
    }
    Ok(Stored { bytes: raw, encoding: Encoding::Identity, inline: false })
}

/// Reads a stored mail back. The size written in the frame is checked before memory is asked for.
fn load(stored: Bytes, encoding: Encoding) -> Result<Bytes> {
    let bad = |text: String| Error::Codec { doing: "read a mail back", cause: std::io::Error::other(text) };
    match encoding {
        Encoding::Identity => Ok(stored),
        Encoding::Zstd => {
            let Some(size) = unpacked_size(&stored) else {
                return Err(bad("not a zstd frame with a size".to_owned()));
            };
            if size > MAX_RAW_BYTES {
                return Err(bad(format!("the zstd frame says {size} bytes, more than {MAX_RAW_BYTES}")));
            }
            let raw = zstd::bulk::decompress(&stored, size)
                .map_err(|cause| Error::Codec { doing: "read a mail back", cause })?;
            Ok(raw.into())
        }
    }
}

/// What a packed mail says that it unpacks to; `None` where it says nothing, or is not packed.
fn unpacked_size(packed: &[u8]) -> Option<usize> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    Some(usize::try_from(size).unwrap_or(usize::MAX))
}

/// The work of reading these mails back, in bytes: of what is packed, that of what it unpacks to, which may be a thousand times
/// as much.
fn work_of(stored: &[(Bytes, Encoding)]) -> usize {
    let of = |(bytes, encoding): &(Bytes, Encoding)| match encoding {
        Encoding::Identity => 0,
        // More than a mail can have is refused at once.
        Encoding::Zstd => unpacked_size(bytes).filter(|size| *size <= MAX_RAW_BYTES).unwrap_or(0),
    };
    stored.iter().map(of).sum()
}

/// [`store`] for a batch, off the runtime where it is long work.
pub(crate) async fn store_all(raws: Vec<Bytes>, inline_bytes: usize) -> Result<Vec<Stored>> {
    let large = raws.iter().map(Bytes::len).filter(|len| *len > inline_bytes).sum::<usize>();
    off_runtime(large, move || raws.into_iter().map(|raw| store(raw, inline_bytes)).collect()).await?
}

/// [`load`] for a batch; each mail has its own result.
pub(crate) async fn load_all(stored: Vec<(Bytes, Encoding)>) -> Result<Vec<Result<Bytes>>> {
    off_runtime(work_of(&stored), move || {
        stored.into_iter().map(|(bytes, encoding)| load(bytes, encoding)).collect()
    })
    .await
}

async fn off_runtime<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if bytes <= BLOCKING_BYTES {
        return Ok(work());
    }
    let failed =
        |error| Error::Machine { doing: "run the compression thread", cause: std::io::Error::other(error) };
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_stored_reads_back_byte_for_byte(
            raw in prop_oneof![proptest::collection::vec(any::<u8>(), 0..20_000), "[a-c]{0,20000}".prop_map(String::into_bytes)],
            inline in 0usize..8_192,
        ) {
            let raw = Bytes::from(raw);
            let stored = store(raw.clone(), inline).unwrap();
            prop_assert!(!stored.inline || stored.bytes.len() <= inline);
            prop_assert_eq!(load(stored.bytes, stored.encoding).unwrap(), raw);
        }

        #[test]
        fn rubbish_is_an_error_and_never_a_panic(rubbish in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = load(rubbish.into(), Encoding::Zstd);
        }
    }

    #[test]
    fn what_does_not_shrink_is_kept_as_it_is() {
        let mut random = fastrand::Rng::with_seed(1);
        let raw = Bytes::from((0..100_000).map(|_| random.u8(..)).collect::<Vec<_>>());
        assert_eq!(store(raw, 4_096).unwrap().encoding, Encoding::Identity);
    }

    #[test]
    fn a_large_mail_stands_beside_its_entry_however_small_it_packs() {
        let packed = |size: usize| store(Bytes::from(vec![b'x'; size]), 4_096).unwrap();
        assert!(packed(4 * 4_096).inline);
        let large = packed(20 << 20);
        assert!(large.bytes.len() <= 4_096 && !large.inline, "{} bytes", large.bytes.len());
    }

    #[test]
    fn what_unpacks_to_much_is_not_unpacked_on_the_runtime_however_small_it_is_packed() {
        let packed = |size: usize| {
            let Stored { bytes, encoding, .. } = store(Bytes::from(vec![b'x'; size]), 4_096).unwrap();
            (bytes, encoding)
        };
        let large = packed(MAX_RAW_BYTES);
        assert!(large.0.len() < BLOCKING_BYTES, "{} bytes", large.0.len());
        assert!(work_of(&[packed(5_000), large]) > BLOCKING_BYTES);
        assert!(work_of(&[packed(5_000), packed(100)]) < BLOCKING_BYTES);
        let bomb = zstd::bulk::compress(&vec![0; MAX_RAW_BYTES + 1], LEVEL).unwrap();
        assert_eq!(work_of(&[(bomb.into(), Encoding::Zstd), (Bytes::from_static(b"x"), Encoding::Zstd)]), 0);
    }

    #[test]
    fn a_bomb_is_refused_before_memory_is_asked_for() {
        let bomb = zstd::bulk::compress(&vec![0; MAX_RAW_BYTES + 1], LEVEL).unwrap();
        assert!(load(bomb.into(), Encoding::Zstd).unwrap_err().to_string().contains("more than"));
    }
}
