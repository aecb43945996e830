"""The bill of materials, as CycloneDX 1.6: the crates in the binary, what only built it, and Debian's packages.

What ends up in the binary has the scope "required"; macros and build scripts are "excluded", which is CycloneDX's
word for what is used and not delivered. The same input gives the same bytes, serial number and all.
"""

import functools
import json
import urllib.parse
import uuid
from datetime import UTC, datetime
from pathlib import Path

from common import VALIDATOR, Trouble, call, venv_program
from crates import digest, version


def write(crates, moment, binary, debian):
    """The document. `debian` are components of contents.Debian; without a binary there is no hash of it."""
    root = crates.packages[crates.root]
    maru = component(root, crates, "required") | {"type": "application"}
    if crates.features:
        maru["properties"] = [{"name": "cdx:cargo:features", "value": ",".join(crates.features)}]
    if binary is not None:
        maru["hashes"] = [{"alg": "SHA-256", "content": digest(binary.read_bytes())}]
    parts = [standard_library(crates.rustc)]
    for package_id, package in crates.packages.items():
        linked = (package["name"], package["version"]) in crates.linked
        if package_id != crates.root:
            parts.append(component(package, crates, "required" if linked else "excluded"))
    edges = [edge(node, crates) for node in crates.nodes.values()]
    for one in edges:
        if one["ref"] == maru["bom-ref"]:
            one["dependsOn"] = sorted(one["dependsOn"] + [p["bom-ref"] for p in [parts[0], *debian]])
    edges += [{"ref": p["bom-ref"], "dependsOn": []} for p in [parts[0], *debian]]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "maru tools/image", "version": version()}]},
            "component": maru,
        },
        "components": sorted(parts, key=lambda p: p["bom-ref"]) + debian,
        "dependencies": sorted(edges, key=lambda e: e["ref"]),
    }
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def component(package, crates, scope):
    name, number = package["name"], package["version"]
    made = {"type": "library", "bom-ref": ref(package), "name": name, "version": number, "scope": scope}
    if package["license"]:
        # Some still write the slash that stood for OR before there were expressions.
        expression = package["license"].replace(" / ", " OR ").replace("/", " OR ")
        made["licenses"] = [{"expression": expression}]
    if checksum := crates.checksums.get((name, number)):
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        made["purl"] = ref(package)
    return made


def standard_library(rustc):
    """What rustc links into everything, and no lock file names."""
    purl = f"pkg:github/rust-lang/rust@{rustc['release']}"
    return {"type": "library", "bom-ref": purl, "purl": purl, "name": "rust-std", "version": rustc["release"],
            "scope": "required", "licenses": [{"expression": "MIT OR Apache-2.0"}],
            "pedigree": {"commits": [{"uid": rustc["commit-hash"]}]}}


def ref(package):
    # A purl points into a registry; what is ours is in none, and has only the reference.
    kind = "pkg:cargo/" if package["source"] else "workspace:"
    return f"{kind}{package['name']}@{urllib.parse.quote(package['version'])}"


def edge(node, crates):
    on = {ref(crates.packages[d["pkg"]]) for d in node["deps"] if d["pkg"] in crates.packages
          and any(k["kind"] != "dev" for k in d["dep_kinds"])}
    return {"ref": ref(crates.packages[node["id"]]), "dependsOn": sorted(on)}


@functools.cache  # the self-test has one that stays the same
def validate(content):
    """Whether it is what the schema of CycloneDX asks for, read strictly."""
    try:
        call([venv_program("python3", VALIDATOR), str(Path(__file__).with_name("validate.py"))], input=content)
    except Trouble as trouble:
        raise Trouble(f"the SBOM is not valid CycloneDX: {trouble}") from None
