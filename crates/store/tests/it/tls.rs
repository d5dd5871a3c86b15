use mailfleet_model::{Class, Classify, Secret};
use mailfleet_store::{Config, Store};
use mailfleet_testkit::{Certificates, PostgresOptions, PostgresServer};

fn store(server: &PostgresServer, host: &str, mode: &str, ca: Option<std::path::PathBuf>) -> Store {
    let url = format!("postgres://postgres@{host}:{}/postgres?sslmode={mode}", server.port());
    Store::connect(&Config { url: Secret::new(url), tls_ca_file: ca, ..Config::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_verified_and_a_bad_one_is_explained() {
    let good = Certificates::good().unwrap();
    let ca = good.ca();
    let options = PostgresOptions { tls: Some(good), ..PostgresOptions::default() };
    let server = PostgresServer::start_with(&options).unwrap();
    server.psql("postgres", "CREATE ROLE mailfleet_writer").unwrap();
    for mode in ["require", "verify-full"] {
        store(&server, "localhost", mode, Some(ca.clone())).ping().await.unwrap();
    }
    // Signed by nobody the system knows.
    let error = store(&server, "localhost", "require", None).ping().await.unwrap_err();
    assert_eq!(error.class(), Class::Fault, "{error}");
    let text = error.to_string();
    for part in
        ["TLS", &format!("localhost:{}/postgres", server.port()), "UnknownIssuer", "postgres.tls_ca_file"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_not_spoken_to_in_the_clear_where_tls_is_required() {
    let error = store(PostgresServer::shared(), "127.0.0.1", "require", None).ping().await.unwrap_err();
    assert_eq!(error.class(), Class::Fault, "{error}");
    assert!(error.to_string().contains("TLS"), "{error}");
}
