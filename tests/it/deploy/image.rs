//! `deploy/Dockerfile`: what goes in, what comes out, and as whom it runs.

use std::collections::BTreeSet;

use super::manifests::{copy, installations, root};

/// The instructions of a Dockerfile: word and rest, continued lines joined, comments left out.
fn instructions(path: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let parts = joined.lines().filter_map(|line| line.trim().split_once(' '));
    parts
        .map(|(word, rest)| (word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

/// What the build takes out of the repository.
fn sources(instructions: &[(String, String)]) -> Vec<&str> {
    let copies = instructions.iter().filter(|(word, rest)| word == "COPY" && !rest.starts_with("--from"));
    copies
        .flat_map(|(_, rest)| {
            let words: Vec<_> = rest.split(' ').collect();
            words[..words.len() - 1].to_vec()
        })
        .collect()
}

/// Whether `.dockerignore` keeps a path out of the build.
fn ignored(path: &str) -> bool {
    let rules = std::fs::read_to_string(root().join(".dockerignore")).unwrap();
    let below = |rule: &str| path == rule || path.starts_with(&format!("{rule}/"));
    let mut out = false;
    for rule in rules.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match rule.strip_prefix('!') {
            Some(rule) if below(rule) => out = false,
            None if below(rule) || (rule == ".*" && path.starts_with('.')) => out = true,
            _ => {}
        }
    }
    out
}

#[test]
fn the_image_runs_as_a_numbered_user_and_builds_what_is_locked() {
    let instructions = instructions("deploy/Dockerfile");
    let all = |word: &'static str| {
        instructions.iter().filter(move |(other, _)| other == word).map(|(_, rest)| rest.as_str())
    };
    let stages: Vec<_> = all("FROM").collect();
    assert_eq!(stages.len(), 2, "{stages:?}");
    for stage in &stages {
        let image = stage.split(' ').next().unwrap();
        assert!(image.split_once(':').is_some_and(|(_, tag)| tag != "latest"), "{image}");
    }
    assert!(stages[1].starts_with("debian:12"), "{stages:?}");
    assert_eq!(all("USER").collect::<Vec<_>>(), ["65532:65532"]);
    assert_eq!(all("EXPOSE").collect::<Vec<_>>(), ["9101 9102 8080"]);
    let build = all("RUN").find(|run| run.contains("cargo build")).unwrap();
    assert!(build.contains("--locked --release"), "{build}");
    let installed = instructions.iter().any(|(word, rest)| word == "RUN" && rest.contains("ca-certificates"));
    assert!(installed, "without certificates no server can be verified");
}

#[test]
fn the_build_gets_enough_of_the_repository_for_the_three_programs() {
    let instructions = instructions("deploy/Dockerfile");
    let dir = tempfile::tempdir().unwrap();
    for source in sources(&instructions) {
        assert!(!ignored(source), "{source} is not in the build's context");
        copy(&root().join(source), &dir.path().join(source));
    }
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(dir.path().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned(), "--locked".to_owned()])
        .exec()
        .unwrap();
    let programs: BTreeSet<_> = metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets)
        .filter(|target| target.is_bin())
        .map(|target| target.name.as_str())
        .collect();
    let build =
        instructions.iter().find(|(word, rest)| word == "RUN" && rest.contains("cargo build")).unwrap();
    for program in ["mailfleet-producer", "mailfleet-consumer", "mailfleet"] {
        assert!(programs.contains(program), "{program} is not in {programs:?}");
        assert!(build.1.contains(&format!("--bin {program} ")), "{program} is not built");
        assert!(build.1.contains(&format!("target/release/{program}")), "{program} is not taken along");
    }
}

#[test]
fn manifests_run_programs_that_the_image_has() {
    for (title, manifests) in installations() {
        for (name, template) in manifests.pods() {
            let program = template["spec"]["containers"][0]["command"][0].as_str().unwrap();
            // `sleep` is the base image's.
            let known = ["mailfleet-producer", "mailfleet-consumer", "mailfleet", "sleep"];
            assert!(known.contains(&program), "{title}: {name} runs {program}");
        }
    }
}

#[test]
fn the_sample_mail_gets_into_the_sample_server() {
    let instructions = instructions("deploy/compose/dovecot/Dockerfile");
    let sources = sources(&instructions);
    assert_eq!(sources, ["tests/corpus", "deploy/compose/dovecot/dovecot.conf"]);
    for source in sources {
        assert!(root().join(source).exists() && !ignored(source), "{source}");
    }
    assert!(ignored("target/debug") && ignored(".git") && ignored("deploy/compose.yaml"));
}
