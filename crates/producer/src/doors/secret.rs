//! The secret of an endpoint, read when it is needed, so that a changed file is seen.

use mailfleet_model::SecretSource;
use tokio::io::AsyncReadExt as _;

/// Longest secret that is read, in bytes: some certificates.
const MAX_BYTES: u64 = 64 << 10;

/// The whole content of the file or variable; the error says where it was looked for.
pub async fn read(source: &SecretSource) -> Result<Vec<u8>, String> {
    match source {
        SecretSource::Value(secret) => Ok(secret.expose().as_bytes().to_vec()),
        SecretSource::Env(name) => std::env::var(name)
            .map(String::into_bytes)
            .map_err(|_| format!("the environment variable {name} is not set")),
        SecretSource::File(path) => {
            let reading = async {
                let mut bytes = Vec::new();
                tokio::fs::File::open(path).await?.take(MAX_BYTES).read_to_end(&mut bytes).await?;
                Ok::<_, std::io::Error>(bytes)
            };
            reading.await.map_err(|error| format!("cannot read the secret file {}: {error}", path.display()))
        }
    }
}
