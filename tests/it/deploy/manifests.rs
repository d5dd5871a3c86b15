//! Rendering, reading and checking of YAML, by the tools of `target/python`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::Value;

/// The oldest Kubernetes that the manifests are for, and the newest whose schemas are at hand.
const VERSIONS: [&str; 2] = ["1.29", "1.37"];

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A program that `scripts/python.sh` installed.
fn tool(name: &str) -> Command {
    let path = root().join("target/python/bin").join(name);
    assert!(path.exists(), "{} is missing: `make python` installs it", path.display());
    Command::new(path)
}

fn text(program: &str, output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {stdout}{stderr}");
    stdout.into_owned()
}

/// The documents of some YAML files, and what is wrong with them.
#[derive(Debug, Deserialize)]
pub struct Manifests {
    /// Every document, in the order of the text.
    pub documents: Vec<Value>,
    /// What the schemas refuse; each line begins with the document's kind and name.
    pub problems: Vec<String>,
}

impl Manifests {
    /// Renders `overlay` of the tree `kubernetes` and checks each document strictly.
    pub fn render(kubernetes: &Path, overlay: &str) -> Self {
        let rendered =
            tool("kubectl").arg("kustomize").arg(kubernetes.join("overlays").join(overlay)).output();
        let rendered = text("kubectl kustomize", &rendered.unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, rendered).unwrap();
        let versions = VERSIONS.iter().flat_map(|version| ["--kubernetes", version]);
        let schemas = root().join("tests/it/deploy/schemas");
        let args = versions.map(Into::into).chain(["--schemas".into(), schemas, file.path().to_owned()]);
        Self::run(args)
    }

    /// Reads a file without any schema.
    pub fn read(path: &str) -> Self {
        Self::run([root().join(path)])
    }

    fn run(args: impl IntoIterator<Item = PathBuf>) -> Self {
        let program = root().join("tests/it/deploy/manifests.py");
        let output = tool("python").arg(program).args(args).output().unwrap();
        serde_json::from_str(&text("manifests.py", &output)).unwrap()
    }

    /// The documents of a kind.
    pub fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.documents.iter().filter(move |document| document["kind"] == kind)
    }

    /// The one document of this kind and name.
    pub fn one(&self, kind: &str, name: &str) -> &Value {
        let mut found = self.all(kind).filter(|document| document["metadata"]["name"] == name);
        let one = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
        assert!(found.next().is_none(), "{kind} {name} is there twice");
        one
    }

    /// Whatever has a pod template, with that template.
    pub fn pods(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.documents
            .iter()
            .filter(|document| document["spec"]["template"]["spec"].is_object())
            .map(|document| (document["metadata"]["name"].as_str().unwrap(), &document["spec"]["template"]))
    }

    /// The fleet's configuration, out of its ConfigMap.
    pub fn configuration(&self) -> &str {
        self.all("ConfigMap").find_map(|map| map["data"]["mailfleet.toml"].as_str()).unwrap()
    }
}

/// The ways in which a fleet is installed: the overlays, and production with the plain autoscaler.
pub fn installations() -> Vec<(&'static str, Manifests)> {
    let ours = root().join("deploy/kubernetes");
    let plain = copy_of_the_tree();
    change(&plain.path().join("overlays/production/kustomization.yaml"), "autoscale-keda", "autoscale-hpa");
    vec![
        ("dev", Manifests::render(&ours, "dev")),
        ("production", Manifests::render(&ours, "production")),
        ("production without KEDA", Manifests::render(&plain.path(), "production")),
    ]
}

/// A copy of `deploy/kubernetes`, and of what it takes in, that may be changed.
pub struct Tree(tempfile::TempDir);

impl Tree {
    /// What is `deploy/kubernetes` in the original.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("kubernetes")
    }
}

/// Copies the tree.
pub fn copy_of_the_tree() -> Tree {
    let dir = tempfile::tempdir().unwrap();
    for part in ["kubernetes", "grafana"] {
        let to = dir.path().join(part);
        std::fs::create_dir(&to).unwrap();
        copy(&root().join("deploy").join(part), &to);
    }
    Tree(dir)
}

/// Copies a file or a directory with all below it.
pub fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
        return;
    }
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        copy(&path, &to.join(path.file_name().unwrap()));
    }
}

/// Replaces every `from` in a file, which must have one.
pub fn change(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} has no `{from}`", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// Whether a label selector (`matchLabels` alone, as all of ours) selects these labels.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}

/// The elements of a list; none where there is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
