"""What goes into the image, as two tar layers that are the same for the same input.

The lower layer is Debian's: the shared libraries that the binary names, the certificates that it trusts, a user
to run as. It stays as it is while Maru changes, so a node that has it need not keep it again. The upper one is Maru,
its licences and its bill of materials. There is nothing else: no shell, no package manager, no time zones (Maru
reckons in UTC alone). Everything belongs to root and nothing may be changed by the one who runs it, but /tmp.
"""

import functools
import io
import os
import re
import subprocess
import tarfile
import urllib.parse
from pathlib import Path

from common import ROOT, USER, Trouble, call, package
from crates import digest

PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/sbin/nologin\n"
GROUP = f"root:x:0:\nnonroot:x:{USER}:\n"
# Without it glibc would ask the name server before it looks into /etc/hosts.
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


@functools.cache
def moment():
    """The time that is written into the image, in seconds of the epoch."""
    if said := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(said)
    try:
        return int(call(["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]))
    except Trouble:
        raise Trouble("git tells no commit's time here: say with SOURCE_DATE_EPOCH which the image bears") from None


def tar(entries):
    """A layer of `path → (mode, content)`; what has no content is a folder. The folders above come by themselves."""
    whole = dict(entries)
    for path in entries:
        for above in list(Path(path).parents)[:-1]:
            whole.setdefault(str(above), (0o755, None))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, (mode, content) in sorted(whole.items()):
            info = tarfile.TarInfo(path)
            info.mode, info.mtime = mode, moment()
            info.uname = info.gname = ""
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def ours(binary, crates, bill):
    """The upper layer."""
    papers = {name: (ROOT / name).read_bytes() for name in ("LICENSE", "LICENSE-APACHE", "LICENSE-MIT", "NOTICE")}
    papers |= {"third-party-licences.txt": crates.licences(), "sbom.cdx.json": bill}
    entries = {f"usr/share/doc/maru/{name}": (0o644, content) for name, content in papers.items()}
    return tar(entries | {"maru": (0o755, binary.read_bytes())})


class Debian:
    """What the image has of Debian, each file with the package that it came from."""

    def __init__(self, binary):
        self.files = {}  # path in the image → (mode, content, package)
        self.packages = {}  # package → its fields
        for path in closure(binary):
            name = owner(path)
            self.files[path.lstrip("/")] = (Path(path).stat().st_mode & 0o755, Path(path).read_bytes(), name)
            self.note(name, call(["dpkg-query", "-s", name]))
        # Not the machine's own collection: that may have somebody's certificates in it.
        folder, fields = package("ca-certificates")
        own = sorted((folder / "usr" / "share" / "ca-certificates" / "mozilla").glob("*.crt"))
        self.files[CERTIFICATES] = (0o644, b"".join(f.read_bytes() for f in own), "ca-certificates")
        self.note("ca-certificates", "".join(f"{key}: {value}\n" for key, value in fields.items()))
        self.copyrights = {name: Path(f"/usr/share/doc/{name.split(':')[0]}/copyright") for name in self.packages}
        self.copyrights["ca-certificates"] = folder / "usr" / "share" / "doc" / "ca-certificates" / "copyright"

    def note(self, name, status):
        fields = dict(re.findall(r"^([A-Z][A-Za-z-]*): (.*)$", status, re.MULTILINE))
        # Those that scanners for vulnerabilities read; the rest speaks of an installation that is not there.
        kept = ("Package", "Architecture", "Source", "Version")
        self.packages[name] = {key: fields[key] for key in kept if key in fields}

    def layer(self):
        """The lower layer."""
        entries = {path: (mode, content) for path, (mode, content, _) in self.files.items()}
        entries["tmp"] = (0o1777, None)
        release = Path("/etc/os-release").read_bytes()
        texts = {"passwd": PASSWD.encode(), "group": GROUP.encode(), "nsswitch.conf": NSSWITCH.encode()}
        entries |= {f"etc/{name}": (0o644, text) for name, text in (texts | {"os-release": release}).items()}
        for name, fields in self.packages.items():
            plain = name.split(":")[0]
            entries[f"usr/share/doc/{plain}/copyright"] = (0o644, self.copyrights[name].read_bytes())
            status = "".join(f"{key}: {value}\n" for key, value in fields.items())
            entries[f"var/lib/dpkg/status.d/{plain}"] = (0o644, (status + "Status: install ok installed\n").encode())
        return tar(entries)

    def components(self):
        """The packages, for the bill of materials, each with the files that came from it."""
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        distro, number = (release.get(key, "").strip('"') for key in ("ID", "VERSION_ID"))
        made = []
        for name, fields in sorted(self.packages.items()):
            version = urllib.parse.quote(fields["Version"], safe="")
            where = f"arch={fields['Architecture']}&distro={distro}-{number}"
            purl = f"pkg:deb/{distro}/{fields['Package']}@{version}?{where}"
            places = [{"location": f"/{path}", "additionalContext": f"sha256:{digest(content)}"}
                      for path, (_, content, of) in sorted(self.files.items()) if of == name]
            made.append({"type": "library", "bom-ref": purl, "purl": purl, "name": fields["Package"],
                         "version": fields["Version"], "scope": "required", "evidence": {"occurrences": places}})
        return made


def closure(binary):
    """The shared libraries that the loader would open, by the names it opens them by, and the loader."""
    told = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
    if "not found" in told.stdout or told.returncode != 0:
        raise Trouble(f"{binary} is no program that this machine could start: {(told.stdout + told.stderr).strip()}")
    return sorted(set(re.findall(r"(?:^\s*|=> )(/\S+) \(0x", told.stdout, re.MULTILINE)))


def owner(path):
    """The Debian package that a file came in; since /lib became /usr/lib, it may be listed under either."""
    real = Path(path).resolve()
    for name in dict.fromkeys([path, str(real), f"/usr{path}", str(real).removeprefix("/usr")]):
        done = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.split(": /")[0].split(",")[0].strip()
    raise Trouble(f"{path} came in no Debian package, so nobody could say what is in the image")
