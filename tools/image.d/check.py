"""What is refused in an archive, by looking at every byte of it. Nothing is run here; start.py does that.

What may be run is a list of the allowed, not of the forbidden: Maru, and the shared libraries that the bill of
materials names with their SHA-256. Shells and package managers are looked for by name too, for a plainer answer.
"""

import functools
import json
import re
import ssl
import tempfile
from datetime import datetime
from pathlib import PurePosixPath

import sbom
from common import USER, Trouble
from contents import CERTIFICATES
from crates import digest, named_in

BILL = "usr/share/doc/maru/sbom.cdx.json"
PAPERS = ("LICENSE-APACHE", "LICENSE-MIT", "NOTICE", "third-party-licences.txt")
SHELLS = {"sh", "ash", "bash", "dash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "busybox", "toybox", "rbash"}
MANAGERS = {"apt", "apt-get", "aptitude", "dpkg", "dpkg-deb", "apk", "rpm", "yum", "dnf", "microdnf", "zypper",
            "pacman", "pip", "pip3", "npm", "gem", "cargo", "conda", "snap", "flatpak", "brew", "nix"}
MACHINES = {62: "amd64", 183: "arm64"}  # what an ELF header calls what an image configuration calls so
SECRET_NAME = re.compile(r"(^|/)(\.env|\.netrc|\.npmrc|\.pypirc|\.git|\.ssh|\.aws|\.docker|\.kube"
                         r"|id_(rsa|ecdsa|ed25519)|shadow|gshadow|credentials(\.toml)?|[^/]*\.(pem|key|p12|pfx|jks|keystore|creds|nk))(/|$)")
# Each begins with plain letters, by which 150 MB are searched in a second and not in fifteen.
SECRET_TEXT = {
    "a private key": (rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----\s+[A-Za-z0-9+/=:,\s-]{64,}?-----END ",),
    "a seed of NATS": (rb"S[UOANC][A-Z2-7]{56}\b",),
    "an access key": (rb"AKIA[0-9A-Z]{16}\b", rb"gh[opsu]_[A-Za-z0-9]{36}\b", rb"sk-(proj-)?[A-Za-z0-9]{40,}\b"),
    "an address with a password": (rb"://[a-z0-9_-]{1,40}:[^/\s:@\"'{}$<>\0]{6,80}@[a-z0-9]",),
}
SECRET_SETTING = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|CREDENTIAL|PASSPHRASE", re.IGNORECASE)


def all_of(image):
    """A line about each thing that was looked at; the first that is not well is trouble."""
    for look in (configuration, shape, powers, programs, users, secrets, papers, bill):
        yield f"ok: {look(image)}"


def refuse(unless, why):
    if not unless:
        raise Trouble(why)


def entries(image):
    return [entry for layer in image.layers for entry in layer]


def files(image):
    """What is there when all layers lie on each other."""
    return {member.name: (member, content) for member, content in entries(image) if member.isfile()}


def configuration(image):
    config = image.config.get("config", {})
    refuse(config.get("User") == f"{USER}:{USER}", f"it runs as {config.get('User') or 'root'}, not as {USER}:{USER}")
    refuse(config.get("Entrypoint") == ["/maru"] and not config.get("Cmd"),
           f"it starts {config.get('Entrypoint')} {config.get('Cmd') or ''}, not /maru")
    refuse(image.config.get("os") == "linux", "it is for another system than Linux")
    refuse(not config.get("Volumes"), "it declares a volume, which would be writable in a read-only container")
    for setting in config.get("Env") or []:
        refuse(not SECRET_SETTING.search(setting.split("=")[0]), f"it sets {setting.split('=')[0]} for everybody")
    labels = config.get("Labels") or {}
    for label in ("title", "version", "licenses", "created"):
        refuse(labels.get(f"org.opencontainers.image.{label}"), f"it has no label {label}")
    return f"it starts /maru as {config['User']}, version {labels['org.opencontainers.image.version']}"


def shape(image):
    created = datetime.fromisoformat(image.config["created"]).timestamp()
    for member, _ in entries(image):
        path = PurePosixPath(member.name)
        refuse(not path.is_absolute() and ".." not in path.parts, f"{member.name} leads out of the image")
        refuse(member.isfile() or member.isdir(), f"/{member.name} is neither a file nor a folder")
        refuse(not path.name.startswith(".wh."), f"/{member.name} takes away what a lower layer has")
        refuse(member.mtime == created, f"/{member.name} bears another time than the image")
    return f"{len(files(image))} files, plain files and folders only"


def powers(image):
    for member, _ in entries(image):
        where = f"/{member.name}"
        refuse(not member.mode & 0o6000, f"{where} is setuid or setgid")
        refuse(not any("capability" in key for key in member.pax_headers), f"{where} has capabilities")
        refuse(member.uid == 0 and member.gid == 0, f"{where} belongs to {member.uid}:{member.gid}, not to root")
        open_to_all = member.mode & 0o002
        is_tmp = member.name == "tmp" and member.isdir() and member.mode & 0o1000
        refuse(not open_to_all or is_tmp, f"{where} may be written by everybody")
        program = PurePosixPath(member.name).name if member.isfile() else None
        refuse(program not in SHELLS, f"{where} is a shell")
        refuse(program not in MANAGERS, f"{where} is a package manager")
    return "no shell, no package manager, nothing setuid, nothing writable but /tmp"


def listed(image):
    """The bill of materials in the image."""
    found = files(image).get(BILL)
    refuse(found, f"there is no bill of materials at /{BILL}")
    return json.loads(found[1])


def programs(image):
    document = listed(image)
    known = {one["location"].lstrip("/"): one["additionalContext"] for part in document["components"]
             for one in part.get("evidence", {}).get("occurrences", [])}
    known["maru"] = "sha256:" + document["metadata"]["component"]["hashes"][0]["content"]
    seen = 0
    for name, (member, content) in files(image).items():
        if member.mode & 0o111 or content[:4] == b"\x7fELF" or content[:2] == b"#!":
            refuse(known.get(name) == f"sha256:{digest(content)}",
                   f"/{name} may be run, and the bill of materials does not name it with these bytes")
            seen += 1
    binary = files(image)["maru"][1]
    machine = MACHINES.get(int.from_bytes(binary[18:20], "little"))
    refuse(machine == image.config["architecture"], f"/maru is for {machine}, the image for another machine")
    return f"what may be run is /maru and {seen - 1} shared libraries, for {machine}"


def users(image):
    found = files(image)
    refuse("etc/passwd" in found, "there is no /etc/passwd")
    known = [line.split(":") for line in found["etc/passwd"][1].decode().splitlines()]
    refuse(any(user[2] == str(USER) for user in known), f"/etc/passwd does not know the user {USER}")
    for user in known:
        refuse(user[1] == "x" and user[6].endswith("/nologin"), f"{user[0]} could log in")
    return f"users: {', '.join(user[0] for user in known)}; none can log in"


def secrets(image):
    for name, (_, content) in files(image).items():
        refuse(not SECRET_NAME.search(name), f"/{name} is called as secrets are")
        refuse(not secret_in(content), f"/{name} holds {secret_in(content)}")
    spoken = json.dumps([image.config, image.manifest, image.annotations]).encode()
    refuse(not secret_in(spoken), f"its configuration holds {secret_in(spoken)}")
    return "nothing in it looks like a secret"


@functools.cache  # the self-test looks at the same file in every spoiled copy
def secret_in(content):
    return next((what for what, patterns in SECRET_TEXT.items() if any(re.search(p, content) for p in patterns)), None)


def papers(image):
    found = files(image)
    for paper in PAPERS:
        refuse(f"usr/share/doc/maru/{paper}" in found, f"/usr/share/doc/maru/{paper} is not there")
    third = found["usr/share/doc/maru/third-party-licences.txt"][1]
    refuse(b"Business Source License" in third, "SurrealDB's licence is not among the third parties'")
    refuse(CERTIFICATES in found, f"there is no /{CERTIFICATES}")
    with tempfile.NamedTemporaryFile() as file:
        file.write(found[CERTIFICATES][1])
        file.flush()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(file.name)
    trusted = context.cert_store_stats()["x509_ca"]
    refuse(trusted > 50, f"it trusts {trusted} authorities only")
    return f"licences of Maru, SurrealDB and the others; {trusted} certificate authorities"


def bill(image):
    document = listed(image)
    sbom.validate(files(image)[BILL][1])
    crates = {f"{part['name']}-{part['version']}" for part in document["components"] if "deb/" not in part["bom-ref"]}
    named = named_in(files(image)["maru"][1])
    refuse(len(named) > 50, "/maru names hardly a crate, so nobody could tell what it was built from")
    refuse(named <= crates, f"/maru holds {sorted(named - crates)[:1]}, which the bill of materials does not name")
    packages = [part["name"] for part in document["components"] if part["bom-ref"].startswith("pkg:deb/")]
    status = {PurePosixPath(name).name for name in files(image) if name.startswith("var/lib/dpkg/status.d/")}
    refuse(set(packages) == status, "the bill of materials and /var/lib/dpkg/status.d name other packages")
    linked = sum(part["scope"] == "required" for part in document["components"]) - len(packages)
    built = len(document["components"]) - linked - len(packages)
    return (f"the bill of materials is valid CycloneDX 1.6: {linked} crates in the binary, {len(named)} of them seen "
            f"in it, {built} that built it; {', '.join(packages)}; {features(document)}")


def features(document):
    told = [one["value"] for one in document["metadata"]["component"].get("properties", [])]
    return f"with the feature {told[0]}, which production has no use for" if told else "without the feature database"
