//! Lines of crates that use `log` and not `tracing`.

use log::{Log, Metadata, Record};
use tracing_log::LogTracer;

/// Hands records on to `tracing` without the file, line and module they come from: paths of the machine on which the
/// binary was built tell an operator nothing.
struct Bridge(LogTracer);

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let mut bare = Record::builder();
        self.0.log(&bare.metadata(record.metadata().clone()).args(*record.args()).build());
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Installs the bridge. Records above warnings are not even put together; see [`super::filter`].
pub(super) fn install() {
    // An error says that there is a logger already, as in tests.
    if log::set_boxed_logger(Box::new(Bridge(LogTracer::new()))).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}
