"""Reads YAML, checks Kubernetes documents strictly, and prints both as one JSON object.

    manifests.py FILE...                                     documents only
    manifests.py --kubernetes 1.30 --kubernetes 1.37 FILE... checked against the schemas of these versions
    manifests.py --schemas DIR …                             where the custom resources' schemas are, one file per kind

`-` is standard input. A document that no schema is known for is a problem, not a pass.
"""

import argparse
import functools
import json
import pathlib
import sys

import jsonschema
import referencing
import yaml
from kubernetes_validate import utils


class Strict(yaml.CSafeLoader):
    """YAML in which a key that stands twice is an error: readers disagree on which one wins."""


def mapping(loader, node):
    # `<<` takes over another mapping, whose keys may be overridden.
    given = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    keys = [loader.construct_object(key, deep=True) for key in given]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
    return yaml.constructor.SafeConstructor.construct_mapping(loader, node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


@functools.cache
def validator(version, api_version, kind):
    """The package's own look-up reads a megabyte of definitions again for every document; this one keeps it."""
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    short = api_version.split("/")
    name = "-".join([kind.lower(), *([short[0].split(".")[0]] if len(short) == 2 else []), short[-1]])
    try:
        schema = utils.schema_contents(f"{folder}/{name}.json", version)
    except FileNotFoundError:
        return None
    return jsonschema.Draft202012Validator(schema, registry=referencing.Resource.from_contents(schema) @ definitions(folder, version))


@functools.cache
def definitions(folder, version):
    contents = utils.schema_contents(f"{folder}/_definitions.json", version)
    return referencing.Resource.from_contents(contents) @ referencing.Registry()


@functools.cache
def custom(folder, api_version, kind):
    path = pathlib.Path(folder, f"{kind}.json") if folder else None
    if path is None or not path.is_file():
        return None
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    # Another version of the kind is another schema.
    return jsonschema.Draft202012Validator(schema) if schema["properties"]["apiVersion"]["const"] == api_version else None


def problems(document, versions, schemas):
    if not isinstance(document, dict) or not all(isinstance(document.get(key), str) for key in ("apiVersion", "kind")):
        yield "no Kubernetes document: it has no apiVersion and kind"
        return
    api_version, kind = document["apiVersion"], document["kind"]
    title = f"{kind}/{document.get('metadata', {}).get('name')}"
    own = custom(schemas, api_version, kind)
    for version, check in [("", own)] if own else [(version, validator(version, api_version, kind)) for version in versions]:
        if check is None:
            yield f"{title}: no schema for {api_version} {kind} in Kubernetes {version}"
            continue
        for error in check.iter_errors(document):
            yield f"{title}: {'.'.join(map(str, error.absolute_path))}: {error.message}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubernetes", action="append", default=[])
    parser.add_argument("--schemas")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    documents, found = [], []
    for file in args.files:
        text = sys.stdin.read() if file == "-" else pathlib.Path(file).read_text()
        documents += [document for document in yaml.load_all(text, Loader=Strict) if document is not None]
    if args.kubernetes:
        found = [problem for document in documents for problem in problems(document, args.kubernetes, args.schemas)]
    json.dump({"documents": documents, "problems": found}, sys.stdout, default=str)


main()
