//! The pod in which the person on call works: it has what the runbooks want of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::manifests::{Manifests, installations, list, root};
use crate::runbooks::book;

fn pod<'a>(manifests: &'a Manifests, name: &str) -> &'a Value {
    &manifests.one("Deployment", name)["spec"]["template"]["spec"]
}

#[test]
fn the_operator_has_the_files_and_the_mail_servers_of_the_producer() {
    for (title, manifests) in installations() {
        let (operator, producer) =
            (pod(&manifests, "mailfleet-operator"), pod(&manifests, "mailfleet-producer"));
        // The names of the secrets, the keys, and the places where commands look for them.
        assert_eq!(operator["volumes"], producer["volumes"], "{title}");
        let (ours, theirs) = (&operator["containers"][0], &producer["containers"][0]);
        assert_eq!(ours["volumeMounts"], theirs["volumeMounts"], "{title}");
        assert_eq!(ours["image"], theirs["image"], "{title}");
        let egress = |name: &str| &manifests.one("NetworkPolicy", name)["spec"]["egress"];
        assert_eq!(egress("mailfleet-operator-imap"), egress("mailfleet-imap"), "{title}");
    }
}

#[test]
fn the_clients_beside_it_find_the_addresses_of_their_servers() {
    for (title, manifests) in installations() {
        let operator = pod(&manifests, "mailfleet-operator");
        let servers = |container: &Value| {
            list(&container["volumeMounts"])
                .iter()
                .any(|mount| mount["mountPath"] == "/run/secrets/mailfleet")
        };
        for (client, image) in [("psql", "postgres"), ("redis-cli", "redis")] {
            let containers = list(&operator["containers"]);
            let container = containers.iter().find(|container| container["name"] == client).unwrap();
            assert!(servers(container), "{title}: {client}");
            let compose = Manifests::read("deploy/compose.yaml").documents.remove(0);
            assert_eq!(container["image"], compose["services"][image]["image"], "{title}: two versions");
        }
    }
}

#[test]
fn every_program_of_the_runbooks_is_had_on_a_cluster_and_the_readme_says_where() {
    let readme = std::fs::read_to_string(root().join("deploy/runbooks/README.md")).unwrap();
    let (_, cluster) = readme.split_once("## On a cluster").unwrap();
    let commands = book::sections().into_values().flat_map(|section| section.parts.into_values().flatten());
    let mut programs = BTreeSet::new();
    for command in commands {
        // A variable before the program is the program's; `test` looks at what the program in `$(` prints.
        let line = command.line.split_once("$(").map_or(command.line.as_str(), |(_, inner)| inner);
        let program = line.split(' ').find(|word| !word.contains('=')).unwrap();
        programs.insert(program.to_owned());
    }
    assert!(programs.len() >= 5, "{programs:?}");
    for program in &programs {
        assert!(cluster.contains(&format!("`{program}`")), "README.md does not say where {program} is run");
    }
    let manifests = Manifests::render(&root().join("deploy/kubernetes"), "production");
    for container in list(&pod(&manifests, "mailfleet-operator")["containers"]) {
        let name = container["name"].as_str().unwrap();
        let enter = format!("exec -it deploy/mailfleet-operator -c {name} -- bash");
        let default = "exec -it deploy/mailfleet-operator -- bash";
        assert!(cluster.contains(&enter) || name == "mailfleet" && cluster.contains(default), "{name}");
    }
}
