#!/usr/bin/env python3
"""The crates that a binary of Maru is made of: which, under what licence, with which texts.

cargo says which crates and features the lock file gives for this platform; nothing is built. The binary has its own
say: where a crate may panic, its path is in the read-only data, so a binary that was built from another lock file,
with other features or by another compiler is found out.

The Dockerfile runs this file by itself, before it has a binary: `crates.py FOLDER` writes the SBOM of the crates and
the licences' texts.
"""

import functools
import hashlib
import json
import os
import re
import sys
import tomllib
from pathlib import Path

from common import ROOT, Trouble, call

# What cargo names the folder of a crate in its registry's sources.
PATH_IN_BINARY = re.compile(rb"registry/src/[^/\0]{1,80}/([A-Za-z0-9_-]{1,64}-\d[0-9A-Za-z.+-]{0,40})/")
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


@functools.cache
def version():
    with open(ROOT / "Cargo.toml", "rb") as file:
        return tomllib.load(file)["workspace"]["package"]["version"]


@functools.cache
def named_in(binary):
    """The crates whose paths a binary holds, as `name-version`."""
    return {match.decode() for match in PATH_IN_BINARY.findall(binary)}


@functools.cache
def cargo(*words):
    return call(["cargo", *words, "--locked"], cwd=ROOT)


class Crates:
    """The crates of one binary."""

    def __init__(self, binary=None):
        self.rustc = dict(line.split(": ") for line in call(["rustc", "-vV"]).splitlines() if ": " in line)
        host = self.rustc["host"]
        if binary is not None and f"/rustc/{self.rustc['commit-hash']}/".encode() not in binary:
            raise Trouble(f"the binary's standard library is not that of rustc {self.rustc['release']}, which is here")
        named = named_in(binary) if binary is not None else set()
        features = ()
        # The database server's library is what only this feature brings.
        if any(name.startswith("surrealdb-server-") for name in named):
            features = ("--features", "database")
        self.features = [word for word in features if word != "--features"]
        self.linked = self.tree("normal,no-proc-macro", host, features)
        built = self.tree("normal,build", host, features)
        if strangers := named - {"-".join(key) for key in self.linked | built}:
            raise Trouble(f"the binary holds {', '.join(sorted(strangers)[:3])}, which Cargo.lock does not give it: "
                          "it was built from another commit, or with other features")
        told = json.loads(cargo("metadata", "--filter-platform", host, "--format-version", "1", *features))
        self.packages = {p["id"]: p for p in told["packages"] if (p["name"], p["version"]) in self.linked | built}
        if lost := (self.linked | built) - {(p["name"], p["version"]) for p in self.packages.values()}:
            raise Trouble(f"cargo builds {sorted(lost)[0]} and has no metadata of it")
        self.nodes = {n["id"]: n for n in told["resolve"]["nodes"] if n["id"] in self.packages}
        self.root = told["resolve"]["root"]
        with open(ROOT / "Cargo.lock", "rb") as file:
            locked = tomllib.load(file)["package"]
        self.checksums = {(p["name"], p["version"]): p.get("checksum") for p in locked}

    @staticmethod
    def tree(edges, host, features):
        # `cargo metadata` unites the features of every member and its tests; `cargo tree` is what is built.
        told = cargo("tree", "-p", "maru", "-e", edges, "--target", host, "--prefix", "none", "--format", "{p}",
                     *features)
        return {(name, number[1:]) for name, number in (line.split()[:2] for line in told.splitlines() if line)}

    def licences(self):
        """The texts of all licences, each once, under the crates that it came with."""
        texts = {}
        for package in sorted(self.packages.values(), key=lambda p: (p["name"], p["version"])):
            if package["source"] is None:
                continue  # ours, whose licence lies beside this
            name = f"{package['name']} {package['version']} ({package['license'] or 'see below'})"
            folder = Path(package["manifest_path"]).parent
            files = sorted(f for f in folder.iterdir() if f.is_file() and LICENCE_FILE.match(f.name))
            if not files:
                texts.setdefault("(its package brings no text)", []).append(name)
            for file in files:
                texts.setdefault(file.read_text(errors="replace").strip(), []).append(name)
        parts = ["What Maru is built from, and the licences that came with it."]
        for text, names in sorted(texts.items(), key=lambda item: item[1]):
            parts.append("=" * 100 + "\n" + "\n".join(names) + "\n" + "-" * 100 + "\n" + text)
        return ("\n\n".join(parts) + "\n").encode()


def main(folder):
    import sbom  # only here: sbom is about a binary as a rule

    folder.mkdir(parents=True)
    crates = Crates()
    moment = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    (folder / "sbom.cdx.json").write_bytes(sbom.write(crates, moment, None, []))
    (folder / "third-party-licences.txt").write_bytes(crates.licences())


@functools.cache
def digest(content):
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Trouble as trouble:
        sys.exit(f"crates: {trouble}")
