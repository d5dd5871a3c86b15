//! The dependency arrows and the layout of ARCHITECTURE.md, held by a machine.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// What each crate of ours may depend on among our own crates, in what it ships.
const ARROWS: &[(&str, &[&str])] = &[
    ("mailfleet-model", &[]),
    ("mailfleet-mime", &["mailfleet-model"]),
    ("mailfleet-queue", &["mailfleet-model"]),
    ("mailfleet-store", &["mailfleet-model"]),
    ("mailfleet-imap", &["mailfleet-model"]),
    ("mailfleet-runtime", &["mailfleet-model"]),
    ("mailfleet-testkit", &["mailfleet-model"]),
    ("mailfleet-webhooks", &["mailfleet-model"]),
    // Programs of its own that measure the others.
    ("mailfleet-bench", &["mailfleet-model", "mailfleet-queue", "mailfleet-testkit"]),
    (
        "mailfleet-producer",
        &[
            "mailfleet-imap",
            "mailfleet-mime",
            "mailfleet-model",
            "mailfleet-queue",
            "mailfleet-runtime",
            "mailfleet-store",
            "mailfleet-webhooks",
        ],
    ),
    (
        "mailfleet-consumer",
        &["mailfleet-mime", "mailfleet-model", "mailfleet-queue", "mailfleet-runtime", "mailfleet-store"],
    ),
    (
        "mailfleet-ctl",
        &[
            "mailfleet-imap",
            "mailfleet-mime",
            "mailfleet-model",
            "mailfleet-queue",
            "mailfleet-runtime",
            "mailfleet-store",
            // `mailfleet demo` starts private servers.
            "mailfleet-testkit",
            // `mailfleet webhook add` checks a secret as the producer will use it.
            "mailfleet-webhooks",
        ],
    ),
];

/// Crates that only some of ours may name, in any kind of dependency.
const WRAPPED: &[(&str, &[&str])] = &[
    ("redis", &["mailfleet-queue", "mailfleet-testkit", "mailfleet-bench"]),
    ("deadpool-redis", &["mailfleet-queue"]),
    ("tokio-postgres", &["mailfleet-store"]),
    ("deadpool-postgres", &["mailfleet-store"]),
    ("refinery", &["mailfleet-store"]),
    ("imap", &["mailfleet-imap"]),
    ("imap-proto", &["mailfleet-imap"]),
    ("mailparse", &["mailfleet-mime"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap()
}

#[test]
fn libraries_depend_on_the_model_alone_and_binaries_point_down() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for package in metadata().packages {
        let name = package.name.as_str();
        if name == "mailfleet-tests" {
            continue;
        }
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("{name} has no arrows in this test"));
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            let ours = dependency.name.starts_with("mailfleet-");
            assert!(
                !ours || allowed.contains(&dependency.name.as_str()),
                "{name} must not depend on {}",
                dependency.name
            );
        }
    }
}

#[test]
fn only_its_own_crate_reaches_redis_postgresql_imap_and_the_mime_parser() {
    let mut seen = BTreeSet::new();
    for package in metadata().packages {
        for dependency in &package.dependencies {
            let Some((wrapped, wrappers)) = WRAPPED.iter().find(|(name, _)| *name == dependency.name) else {
                continue;
            };
            assert!(
                wrappers.contains(&package.name.as_str()),
                "{} must not depend on {wrapped}",
                package.name
            );
            seen.insert(*wrapped);
        }
    }
    for kept in ["redis", "deadpool-redis", "tokio-postgres", "deadpool-postgres", "imap", "mailparse"] {
        assert!(seen.contains(kept), "{kept} is part of the stack and nobody uses it");
    }
}

#[test]
fn every_package_takes_the_workspace_lints() {
    for package in metadata().packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not take them",
            package.manifest_path
        );
    }
}

#[test]
fn the_top_level_holds_exactly_what_the_layout_says() {
    let tracked = std::process::Command::new("git")
        .args(["ls-files", "--full-name", "--cached", "--others", "--exclude-standard", ":/"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    let tracked = String::from_utf8(tracked.stdout).unwrap();
    let top: BTreeSet<&str> = tracked
        .lines()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let layout = BTreeSet::from([
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "crates",
        "deploy",
        "migrations",
        "scripts",
        "tests",
    ]);
    assert_eq!(top, layout);
}
