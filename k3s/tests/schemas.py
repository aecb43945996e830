"""Every object against the schema of its kind, and the whole against checkov. A fault is planted for each."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.34"
SCHEMAS = Path(__file__).parent / "schemas"

# What checkov asks for and we do not do, with the reason.
SKIPPED = {
    "CKV_K8S_11": "no CPU limits: they slow a process down while the machine has nothing else to do",
    "CKV_K8S_15": "not Always: an image that was imported into k3s is in no registry",
    "CKV_K8S_35": "passwords as variables: that is how Maru, SurrealDB and nats-server take them",
    "CKV_K8S_43": "tags with a version, not digests: an image that was imported has none that is known before",
}

PLANTED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "planted", "namespace": "maru"},
    "spec": {"containers": [{"name": "planted", "image": "planted:1.0.0", "securityContext": {"privileged": True}}]},
}


def validate(one):
    """What is wrong with an object, by the schema of its kind. None without a schema passes."""
    return by_text(json.dumps(one))


# Most objects are the same in several renderings.
@functools.cache
def by_text(text):
    one = json.loads(text)
    who = f"{one['kind']} {one['metadata']['name']}"
    ours = SCHEMAS / f"{one['apiVersion'].replace('/', '_')}_{one['kind']}.json"
    if ours.exists():
        errors = jsonschema.Draft7Validator(json.loads(ours.read_text())).iter_errors(one)
        return [f"{who}: {error.json_path}: {error.message}" for error in errors]
    try:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{who}: {error.message}"]
    except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError):
        return [f"{who}: there is no schema for {one['apiVersion']}"]
    return []


def unfound(objects):
    """For every kind that is there: a field that nobody knows must be found."""
    for one in {o["kind"]: o for o in objects}.values():
        place = "spec" if "spec" in one else "metadata"
        planted = {**one, place: {**one[place], "planted": 1}}
        if not validate(planted):
            yield f"a field that nobody knows passes in {one['kind']}"


def checkov(objects, scratch):
    """What checkov finds in objects; it must find what is planted beside them."""
    path = scratch / "all.yaml"
    path.write_text(yaml.safe_dump_all([*objects, PLANTED]))
    program = [Path(sys.executable).parent / "checkov", "--framework", "kubernetes", "--file", path, "--quiet"]
    done = subprocess.run(
        [*program, "--skip-check", ",".join(SKIPPED), "--output", "json", "--skip-download"],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = []
    failed = json.loads(done.stdout)["results"]["failed_checks"]
    found = {(one["check_id"], one["resource"], one["check_name"]) for one in failed}
    if not any(check == "CKV_K8S_16" and "planted" in resource for check, resource, _ in found):
        complaints.append("checkov does not find the privileged container that is planted")
    for check, resource, name in sorted(found):
        if "planted" not in resource:
            complaints.append(f"checkov: {check} {resource}: {name}")
    return complaints
