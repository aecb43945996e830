"""The archive: made with umoci, and read with nothing but the standard library, so that one is checked by the other.

It is an image layout of the Open Container Initiative in a tar file: blobs named by their SHA-256, a manifest that
names the configuration and the layers, and an index that names the manifest.
"""

import functools
import gzip
import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from common import ROOT, USER, Trouble, call, tool

# How a manifest for Kubernetes names it: `image: maru:0.1.0` is short for this.
NAME = "docker.io/library/maru"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def umoci(*words):
    return call([tool("umoci", "umoci"), *map(str, words)])


def archive(layers, moment, version):
    """The bytes of an archive of these layers, `(what it holds, tar)` each."""
    when = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.TemporaryDirectory(prefix="maru-") as scratch:
        layout = Path(scratch) / "layout"
        image = f"{layout}:{version}"
        umoci("init", "--layout", layout)
        umoci("new", "--image", image)
        for what, content in layers:
            layer = Path(scratch) / "layer.tar"
            layer.write_bytes(content)
            umoci("raw", "add-layer", "--image", image, "--history.created", when, "--history.author", "",
                  "--history.created_by", "tools/image", "--history.comment", what, layer)
        labels = [word for key, value in labels_of(version, when).items()
                  for word in ("--config.label", f"org.opencontainers.image.{key}={value}")]
        umoci("config", "--image", image, "--no-history", "--created", when, "--author", "",
              "--config.user", f"{USER}:{USER}", "--config.entrypoint", "/maru", "--config.stopsignal", "SIGTERM",
              *labels)
        umoci("gc", "--layout", layout)
        name(layout, version)
        return packed(layout, moment)


def labels_of(version, when):
    labels = {
        "title": "maru",
        "description": "NATS JetStream streaming platform with durable job workers, and products on it",
        "version": version,
        "created": when,
        # Maru's own, and SurrealDB's in it; the bill of materials has the rest.
        "licenses": "(MIT OR Apache-2.0) AND BUSL-1.1",
    }
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode == 0:
        changed = call([*git, "status", "--porcelain", "--untracked-files=no"]).strip()
        labels["revision"] = head.stdout.strip() + ("-dirty" if changed else "")
    return labels


def name(layout, version):
    """The index gets the name under which containerd, and so k3s, keeps what it imports."""
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0].setdefault("annotations", {})["io.containerd.image.name"] = f"{NAME}:{version}"
    (layout / "index.json").write_text(json.dumps(index, sort_keys=True))


def packed(layout, moment):
    """The layout as a tar file, in the order of names, with nothing of this machine in it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as whole:
        for path in sorted(p for p in layout.rglob("*") if p.is_file()):
            info = tarfile.TarInfo(str(path.relative_to(layout)))
            info.size, info.mode, info.mtime = path.stat().st_size, 0o644, moment
            whole.addfile(info, io.BytesIO(path.read_bytes()))
    return file.getvalue()


class Image:
    """An archive, read. Whatever is not as the digests say is trouble, and so is what no digest names."""

    def __init__(self, path):
        try:
            with tarfile.open(path) as archive:
                self.files = {m.name.removeprefix("./"): archive.extractfile(m).read() for m in archive if m.isfile()}
        except tarfile.TarError:
            raise Trouble(f"{path} is no tar archive, or a broken one") from None
        if self.json("oci-layout").get("imageLayoutVersion") != "1.0.0":
            raise Trouble("it is no OCI image layout")
        manifests = self.json("index.json")["manifests"]
        if len(manifests) != 1 or manifests[0]["mediaType"] != MANIFEST:
            raise Trouble("its index does not name one image manifest and nothing else")
        self.annotations = manifests[0].get("annotations", {})
        self.tag = self.annotations.get("org.opencontainers.image.ref.name")
        if not self.tag or self.annotations.get("io.containerd.image.name") != f"{NAME}:{self.tag}":
            raise Trouble(f"its index does not name it {NAME} with its tag, so k3s would not know what it imports")
        self.manifest = json.loads(self.blob(manifests[0]))
        self.config = json.loads(self.blob(self.manifest["config"]))
        named = [manifests[0], self.manifest["config"], *self.manifest["layers"]]
        reached = {"oci-layout", "index.json", *(blob_path(one) for one in named)}
        if strangers := set(self.files) - reached:
            raise Trouble(f"it carries {sorted(strangers)[0]}, which nothing in it names")

    def lay(self, folder):
        """Writes the layout into a folder; where the digests are well-formed, no name leads out of it."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    def json(self, name):
        if name not in self.files:
            raise Trouble(f"it has no {name}")
        return json.loads(self.files[name])

    def blob(self, descriptor):
        content = self.files.get(blob_path(descriptor))
        if content is None:
            raise Trouble(f"it names {descriptor['digest']} and does not have it")
        if sha256(content) != descriptor["digest"] or len(content) != descriptor["size"]:
            raise Trouble(f"a blob is not what its digest says: {descriptor['digest']}")
        return content

    @cached_property
    def layers(self):
        """Each layer as `[(header, content)]`."""
        found = []
        for descriptor, diff in zip(self.manifest["layers"], self.config["rootfs"]["diff_ids"], strict=True):
            if descriptor["mediaType"] != LAYER:
                raise Trouble(f"a layer is of another kind: {descriptor['mediaType']}")
            found.append(entries(self.blob(descriptor), diff))
        return found

    def compressed(self):
        return sum(layer["size"] for layer in self.manifest["layers"])

    def unpacked(self):
        return sum(unpacked for _, _, unpacked in self.sizes())

    def sizes(self):
        """Each layer's comment, size in the archive, and size of the files in it."""
        comments = [h.get("comment", "a layer") for h in self.config.get("history", []) if not h.get("empty_layer")]
        return [(comment, descriptor["size"], sum(m.size for m, _ in layer))
                for comment, descriptor, layer in zip(comments, self.manifest["layers"], self.layers, strict=True)]


@functools.cache  # the self-test reads the same layer in every spoiled copy
def entries(blob, diff):
    content = gzip.decompress(blob)
    if sha256(content) != diff:
        raise Trouble(f"a layer does not unpack to what its configuration says: {diff}")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        return [(m, tar.extractfile(m).read() if m.isfile() else b"") for m in tar]


def blob_path(descriptor):
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", descriptor["digest"]):
        raise Trouble(f"this is no digest by SHA-256: {descriptor['digest']}")
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
