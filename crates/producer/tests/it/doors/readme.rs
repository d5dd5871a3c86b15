//! What README.md tells people to type works as it stands there.

use std::process::Command;

use super::{SECRET, endpoint, open, rows};
use crate::world::World;

/// The shell blocks of a section of README.md.
fn shell_blocks(section: &str) -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once(&format!("\n### {section}\n")).unwrap();
    let section = rest.split("\n##").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_the_readme_are_taken() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let token = world.store.add_api_token(world.tenant, "sender").await.unwrap();
    let (_producer, client) = open(&world, "");
    let blocks = shell_blocks("Webhooks and registrations");
    let said: Vec<String> = blocks
        .iter()
        .map(|block| {
            let run = Command::new("sh")
                .args(["-euc", block])
                .env("DOOR", client.url())
                .env("ENDPOINT_PATH", &endpoint.path)
                .env("SECRET", SECRET)
                .env("TOKEN", token.expose())
                .output()
                .unwrap();
            assert!(run.status.success(), "{block}\n{}", String::from_utf8_lossy(&run.stderr));
            String::from_utf8(run.stdout).unwrap()
        })
        .collect();
    assert_eq!(said, [r#"{"events":1,"status":"accepted"}"#, r#"{"known":0,"registered":1}"#]);
    assert_eq!(rows(&world), 1);
    let same = "SELECT count(*) FROM email_messages WHERE storage_key LIKE 'email\\_m1@acme.example\\_%'";
    assert_eq!(world.sql(same), "1", "both are about the same message");
}
