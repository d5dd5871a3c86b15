//! Configuration: one TOML file, overridden by environment variables, deserialised into a typed struct.
//!
//! - The file is the one given, else the one that `MAILFLEET_CONFIG` names, else `mailfleet.toml` in the working directory where there is one.
//! - `MAILFLEET_REDIS__POOL_SIZE=4` overrides `pool_size` of section `[redis]`: two underscores between levels.
//!   A value is read like a TOML value, and as plain text where it is none or where the key wants text.
//! - One file serves all binaries. A binary names the sections it does not read as `Option<`[`Unread`]`>`, and its
//!   structs deny unknown fields, so that a typo is refused everywhere and a foreign section is not.
//! - A secret `url` may stand in a file of its own: `url_file = "/run/secrets/redis-url"` (first line; a relative path
//!   is relative to the working directory), never both.
//!   The caller lists its secrets by dotted path; their values show up in no error and no print-out.

mod describe;
mod environment;
mod error;
mod explain;
mod loader;
mod origins;
mod secrets;
mod sections;
mod settings;
mod suggest;
mod unread;

pub use environment::PREFIX;
pub use error::{ConfigError, Origin};
pub use loader::{DEFAULT_FILE, Loaded, Loader, load_config};
pub(crate) use sections::sections;
pub use settings::{Invalid, Settings, Shell};
pub use unread::Unread;
