"""Spoils copies of an archive, one thing at a time, and sees each refused for what was done to it.

A check that never refused anything has not been seen to check. Each copy is well-formed: umoci adds the layer or
changes the configuration, as somebody's careless change would; only tampering is done by hand.
"""

import io
import json
import secrets
import shutil
import tarfile
import tempfile
from pathlib import Path

import check
import oci
import start
from common import Trouble, say

LIBRARY = "usr/lib/libhelper.so.1"


class Copy:
    """The archive once more, to be spoiled."""

    def __init__(self, path, scratch):
        self.image = oci.Image(path)
        self.layout = scratch / "layout"
        self.image.lay(self.layout)
        self.out = scratch / "spoiled.tar"

    def config(self, *words):
        oci.umoci("config", "--image", f"{self.layout}:{self.image.tag}", "--no-history", *words)
        oci.umoci("gc", "--layout", self.layout)

    def add(self, name, content=b"", *, mode=0o644, kind=tarfile.REGTYPE, uid=0, link="", headers=None):
        """A file more, in a layer of its own."""
        info = tarfile.TarInfo(name)
        info.mode, info.type, info.uid, info.linkname, info.size = mode, kind, uid, link, len(content)
        info.mtime = max(member.mtime for member, _ in check.entries(self.image))
        info.pax_headers = headers or {}
        layer = self.layout.parent / "layer.tar"
        with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(info, io.BytesIO(content))
        oci.umoci("raw", "add-layer", "--image", f"{self.layout}:{self.image.tag}", "--no-history", layer)
        oci.umoci("gc", "--layout", self.layout)

    def packed(self):
        self.out.write_bytes(oci.packed(self.layout, 0))
        return self.out


def ways():
    """What is done, and what the refusal has to say."""
    shell = Path(shutil.which("sh")).resolve().read_bytes()
    # Fresh each time, so that this file holds none.
    base64 = secrets.token_hex(600)
    key = f"-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n".encode()
    token = ("ghp" + "_" + secrets.token_hex(18)).encode()
    seed = ("SU" + "A2" * 28).encode()
    yield "a shell", lambda c: c.add("bin/sh", shell, mode=0o755), "is a shell"
    yield "a shell by another name", lambda c: c.add("usr/bin/helper", shell, mode=0o755), "may be run"
    yield "a shell as a library", lambda c: c.add(LIBRARY, shell), "may be run"
    yield "a script", lambda c: c.add("entry", b"#!/maru\n"), "may be run"
    yield "a package manager", lambda c: c.add("usr/bin/apt-get", b"", mode=0o755), "is a package manager"
    yield "other bytes as /maru", lambda c: c.add("maru", shell, mode=0o755), "/maru may be run"
    yield "root by name", lambda c: c.config("--config.user", "root"), "runs as root"
    yield "root by number", lambda c: c.config("--config.user", "0:0"), "runs as 0:0"
    yield "no user", lambda c: c.config("--config.user", ""), "runs as root"
    yield "a shell to start", lambda c: c.config("--clear", "config.entrypoint", "--config.cmd", "/maru"), "it starts"
    yield "a password set", lambda c: c.config("--config.env", "MARU_DB_PASSWORD=x"), "sets MARU_DB_PASSWORD"
    yield "a volume", lambda c: c.config("--config.volume", "/data"), "declares a volume"
    yield "setuid", lambda c: c.add("usr/share/helper", mode=0o4644), "is setuid"
    yield "setgid", lambda c: c.add("usr/share", mode=0o2755, kind=tarfile.DIRTYPE), "is setuid or setgid"
    yield "capabilities", lambda c: c.add("usr/share/helper", headers={"SCHILY.xattr.security.capability": "x"}), \
        "has capabilities"
    yield "a file for everybody", lambda c: c.add("usr/share/helper", mode=0o666), "written by everybody"
    yield "a folder for everybody", lambda c: c.add("data", mode=0o777, kind=tarfile.DIRTYPE), "written by everybody"
    yield "a file of the user's", lambda c: c.add("data", uid=65532), "belongs to 65532:0"
    yield "a device", lambda c: c.add("null", kind=tarfile.CHRTYPE), "neither a file nor a folder"
    yield "a link out", lambda c: c.add("data", kind=tarfile.SYMTYPE, link="../.."), "neither a file nor a folder"
    yield "a way out", lambda c: c.add("../data"), "leads out"
    yield "something taken away", lambda c: c.add("etc/.wh.passwd"), "takes away"
    yield "somebody who logs in", lambda c: c.add("etc/passwd", b"nonroot:x:65532:65532::/:/bin/sh\n"), "could log in"
    yield "another user only", lambda c: c.add("etc/passwd", b"root:x:0:0::/:/sbin/nologin\n"), "does not know"
    yield "a file of keys", lambda c: c.add("etc/keys/signing.pem"), "called as secrets are"
    yield "a private key", lambda c: c.add("usr/share/helper", key), "holds a private key"
    yield "an access key", lambda c: c.add("usr/share/helper", token), "holds an access key"
    yield "a seed", lambda c: c.add("usr/share/helper", seed), "holds a seed of NATS"
    yield "an address", lambda c: c.add("usr/share/helper", b"nats://maru:" + token[:20] + b"@nats:4222"), \
        "holds an address with a password"
    yield "a token in a label", lambda c: c.config("--config.label", f"by={token.decode()}"), "holds an access key"
    yield "no authorities", first_certificate, "authorities only"
    yield "licences left out", lambda c: c.add("usr/share/doc/maru/third-party-licences.txt"), "SurrealDB's licence"
    yield "a package nobody lists", lambda c: c.add("var/lib/dpkg/status.d/hello"), "name other packages"
    yield "a bill with a crate less", less_crates, "bill of materials does not name"
    yield "a bill that is none", not_a_bill, "not valid CycloneDX"
    yield "a byte changed", tamper, "not what its digest says"
    yield "another name", rename, "would not know what it imports"
    yield "a blob more", lambda c: (c.layout / "blobs/sha256" / ("0" * 64)).write_bytes(token), "nothing in it names"


def bill_of(copy):
    return json.loads(check.files(copy.image)[check.BILL][1])


def less_crates(copy):
    bill = bill_of(copy)
    bill["components"] = [part for part in bill["components"] if part["name"] != "tokio"]
    copy.add(check.BILL, json.dumps(bill).encode())


def not_a_bill(copy):
    copy.add(check.BILL, json.dumps(bill_of(copy) | {"specVersion": 1.6}).encode())


def rename(copy):
    index = copy.layout / "index.json"
    index.write_text(index.read_text().replace("library/maru", "library/other"))


def tamper(copy):
    path = copy.layout / oci.blob_path(copy.image.manifest["layers"][-1])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def first_certificate(copy):
    everyone = check.files(copy.image)[check.CERTIFICATES][1]
    copy.add(check.CERTIFICATES, everyone[:everyone.index(b"-----END")] + b"-----END CERTIFICATE-----\n")


class Loose(start.Jail):
    """A start whose root file system can be written."""

    def command(self, *words, **settings):
        return ["--bind" if word == "--ro-bind" else word for word in super().command(*words, **settings)]


def ways_to_start():
    """What only shows when it runs: what is done, how it is started, and what the refusal has to say."""
    label = "org.opencontainers.image.version=9.9.9"
    yield "another version on the label", lambda c: c.config("--config.label", label), start.Jail, "--version` says"
    revision = "org.opencontainers.image.revision=" + 40 * "0"
    yield "another commit on the label", lambda c: c.config("--config.label", revision), start.Jail, "another commit"
    yield "no C library", empty_libraries, start.Jail, "failed"
    yield "a file system that can be written", lambda c: None, Loose, "read-only"


def empty_libraries(copy):
    for name in check.files(copy.image):
        if name.endswith("/libc.so.6"):
            copy.add(name, mode=0o755)


def refused(path, spoil, look):
    """What the look at a spoiled copy says; nothing, if it lets it pass."""
    with tempfile.TemporaryDirectory(prefix="maru-") as scratch:
        copy = Copy(path, Path(scratch))
        spoil(copy)
        try:
            for _ in look(copy.packed()):
                pass
        except Trouble as trouble:
            return str(trouble)
    return None


def run(path):
    cases = [(what, spoil, lambda p: check.all_of(oci.Image(p)), meant) for what, spoil, meant in ways()]
    cases += [(what, spoil, lambda p, jail=jail: start.all_of(p, jail), meant)
              for what, spoil, jail, meant in ways_to_start()]
    if said := refused(path, lambda c: None, lambda p: check.all_of(oci.Image(p))):
        raise Trouble(f"the copy that is not spoiled is refused: {said}")
    wrong = 0
    for what, spoil, look, meant in cases:
        said = refused(path, spoil, look)
        good = said is not None and meant in said
        wrong += not good
        say(f"{'refused' if good else 'WRONG'}: {what}: {said or 'it passed'}")
    if wrong:
        raise Trouble(f"{wrong} of {len(cases)} spoiled copies were not refused for what was done to them")
    say(f"ok: {len(cases)} spoiled copies were refused, each for what was done to it")
