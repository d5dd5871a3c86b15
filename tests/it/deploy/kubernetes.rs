//! The manifests render, and the schemas take every document and refuse a broken one.

use std::collections::BTreeSet;

use super::manifests::{Manifests, change, copy_of_the_tree, installations, root};

#[test]
fn every_installation_renders_and_kubernetes_old_and_new_takes_every_document() {
    for (title, manifests) in installations() {
        assert_eq!(manifests.problems, Vec::<String>::new(), "{title}");
        let kinds: BTreeSet<_> =
            manifests.documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
        for kind in ["Deployment", "Job", "ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy"] {
            assert!(kinds.contains(kind), "{title} has no {kind}");
        }
        let scalers = ["ScaledObject", "HorizontalPodAutoscaler"].map(|kind| kinds.contains(kind));
        let wanted = match title {
            "dev" => [false, false],
            "production" => [true, false],
            _ => [false, true],
        };
        assert_eq!(scalers, wanted, "{title}");
        for document in &manifests.documents {
            let spaced = if document["kind"] == "Namespace" { "name" } else { "namespace" };
            let wanted = if title == "dev" { "mailfleet-dev" } else { "mailfleet" };
            assert_eq!(document["metadata"][spaced], wanted, "{title}: {document}");
        }
    }
}

#[test]
fn a_broken_manifest_is_refused() {
    let producer = "Deployment/mailfleet-producer: spec";
    let scaler = "ScaledObject/mailfleet-consumer: spec";
    let keda = "components/autoscale-keda/scaled-object.yaml";
    let broken = [
        ("base/producer.yaml", "replicas: 1", "replica: 1", producer, "'replica' was unexpected"),
        (
            "base/producer.yaml",
            "containerPort: 9101",
            "containerPort: nine",
            producer,
            "'nine' is not of type",
        ),
        (
            "base/producer.yaml",
            "command: [\"mailfleet-producer\"]",
            "command: mailfleet",
            producer,
            "'mailfleet' is not of type",
        ),
        (
            "base/consumer.yaml",
            "readOnlyRootFilesystem",
            "readOnlyRootFileSystem",
            "Deployment/mailfleet-consumer: spec",
            "was unexpected",
        ),
        (
            "base/migrate.yaml",
            "apiVersion: batch/v1",
            "apiVersion: batch/v9",
            "Job/mailfleet-migrate: ",
            "no schema for batch/v9 Job",
        ),
        (
            "base/services.yaml",
            "targetPort: admin",
            "targetPort: [admin]",
            "Service/mailfleet-consumer: spec",
            "['admin'] is not",
        ),
        (keda, "maxReplicaCount: 12", "maxReplicas: 12", scaler, "'maxReplicas' was unexpected"),
        (keda, "threshold: \"500\"", "threshold: 500", scaler, "500 is not of type 'string'"),
        (
            "components/monitoring/service-monitor.yaml",
            "interval: 15s",
            "interval: 15 seconds",
            "ServiceMonitor/mailfleet: spec",
            "does not match",
        ),
        (
            "components/monitoring/prometheus-rule.yaml",
            "expr:",
            "exprs:",
            "PrometheusRule/mailfleet: spec",
            "'exprs' was unexpected",
        ),
        (
            "components/operator/operator.yaml",
            "enableServiceLinks",
            "enableServicesLinks",
            "Deployment/mailfleet-operator: spec",
            "'enableServicesLinks' was unexpected",
        ),
        (
            "components/operator/network-policy.yaml",
            "port: 993",
            "ports: 993",
            "NetworkPolicy/mailfleet-operator-imap: spec",
            "'ports' was unexpected",
        ),
    ];
    // All at once: each must be found beside the others, and a rendering takes its time.
    let tree = copy_of_the_tree();
    for (file, from, to, ..) in broken {
        change(&tree.path().join(file), from, to);
    }
    let problems = Manifests::render(&tree.path(), "production").problems;
    for (file, _, to, document, want) in broken {
        let found = |problem: &String| problem.starts_with(document) && problem.contains(want);
        assert!(problems.iter().any(found), "{file}: {to}: {problems:#?}");
    }
}

#[test]
fn secrets_are_references_and_every_one_is_explained() {
    let readme = std::fs::read_to_string(root().join("deploy/kubernetes/README.md")).unwrap();
    let mut seen = BTreeSet::new();
    for (title, manifests) in installations() {
        assert_eq!(manifests.all("Secret").count(), 0, "{title} carries a secret's value");
        for (pod, template) in manifests.pods() {
            for volume in super::manifests::list(&template["spec"]["volumes"]) {
                let projected = super::manifests::list(&volume["projected"]["sources"]);
                let names = projected.iter().map(|source| &source["secret"]["name"]);
                for name in names.chain([&volume["secret"]["secretName"]]).filter_map(|name| name.as_str()) {
                    assert!(readme.contains(&format!("`{name}`")), "{pod}: {name} is not in README.md");
                    seen.insert(name.to_owned());
                }
            }
        }
    }
    let names = ["accounts", "postgres", "postgres-owner", "redis", "webhooks"];
    assert_eq!(seen, names.map(|name| format!("mailfleet-{name}")).into());
}

#[test]
fn the_first_step_of_a_roll_out_holds_all_that_the_migration_needs_and_no_program() {
    let readme = std::fs::read_to_string(root().join("deploy/kubernetes/README.md")).unwrap();
    assert!(readme.contains("'app.kubernetes.io/component notin (producer, consumer, operator)'"));
    for (title, manifests) in installations() {
        let first: Vec<_> = manifests
            .documents
            .iter()
            .filter(|document| {
                let component = document["metadata"]["labels"]["app.kubernetes.io/component"].as_str();
                !matches!(component, Some("producer" | "consumer" | "operator"))
            })
            .collect();
        let names = |kind: &str| -> BTreeSet<&str> {
            let of_kind = first.iter().filter(|document| document["kind"] == kind);
            of_kind.map(|document| document["metadata"]["name"].as_str().unwrap()).collect()
        };
        assert!(names("Deployment").is_empty() && names("ScaledObject").is_empty(), "{title}");
        let job = first.iter().find(|document| document["kind"] == "Job").unwrap();
        let pod = &job["spec"]["template"]["spec"];
        assert!(names("ServiceAccount").contains(pod["serviceAccountName"].as_str().unwrap()), "{title}");
        let volumes = pod["volumes"].as_array().unwrap();
        let configs: Vec<&str> =
            volumes.iter().filter_map(|volume| volume["configMap"]["name"].as_str()).collect();
        assert!(!configs.is_empty(), "{title}: {volumes:?}");
        assert!(configs.iter().all(|name| names("ConfigMap").contains(name)), "{title}: {configs:?}");
        assert!(names("NetworkPolicy").contains("mailfleet-stores"), "{title}");
    }
}

#[test]
fn there_is_one_producer_and_never_two_at_a_time() {
    for (title, manifests) in installations() {
        let is_producer = |document: &&serde_json::Value| {
            document["kind"] == "Deployment" && document["metadata"]["name"] == "mailfleet-producer"
        };
        let producer = manifests.documents.iter().find(is_producer).unwrap();
        assert_eq!(producer["spec"]["replicas"], 1, "{title}");
        assert_eq!(producer["spec"]["strategy"]["type"], "Recreate", "{title}");
    }
}
