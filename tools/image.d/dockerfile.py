"""What can be said of the Dockerfile where no engine can build it.

hadolint reads it, its last stage must say what the archive's configuration says, and what .dockerignore lets through
must be enough: in a folder with those files alone, cargo finds the workspace whole, and the stage's own script
writes the bill of materials.
"""

import re
import shlex
import shutil
import tempfile
from pathlib import Path

import oci
import sbom
from common import LINTER, ROOT, USER, Trouble, call, venv_program


def all_of(version):
    """A line about each thing that was looked at; the first that is not well is trouble."""
    call([venv_program("hadolint", LINTER), str(ROOT / "Dockerfile")])
    yield "ok: hadolint has nothing to say of the Dockerfile"
    last = instructions((ROOT / "Dockerfile").read_text())
    labels = dict(word.split("=", 1) for word in shlex.split(last["LABEL"]))
    meant = {f"org.opencontainers.image.{key}": value for key, value in oci.labels_of(version, "").items()
             if key not in ("created", "revision")}
    if {key: labels.get(key) for key in meant} != meant:
        raise Trouble("the Dockerfile's labels are not those of tools/image")
    said = {word: last.get(word) for word in ("USER", "ENTRYPOINT", "STOPSIGNAL", "CMD")}
    if said != {"USER": f"{USER}:{USER}", "ENTRYPOINT": '["/maru"]', "STOPSIGNAL": "SIGTERM", "CMD": None}:
        raise Trouble(f"the Dockerfile's last stage says otherwise than tools/image: {said}")
    yield "ok: its last stage has the labels, the user and the entry point of the archive"
    revision_reaches_the_build((ROOT / "Dockerfile").read_text())
    yield "ok: its build learns the commit, behind the layer of dependencies"
    with tempfile.TemporaryDirectory(prefix="maru-") as scratch:
        context, papers = Path(scratch) / "context", Path(scratch) / "papers"
        count = copy_context(context)
        call(["python3", "tools/image.d/crates.py", str(papers)], cwd=context)
        sbom.validate((papers / "sbom.cdx.json").read_bytes())
        outside = included(context)
        if outside:
            raise Trouble(f"the sources include {outside[0]}, which .dockerignore keeps away")
    yield f"ok: the {count} files that .dockerignore lets through are a whole workspace"


def revision_reaches_the_build(text):
    """The commit is known to the stage that builds, behind its dependencies and before the build itself."""
    build = re.search(r"^FROM chef AS build$(.*?)^FROM ", text, re.MULTILINE | re.DOTALL)[1]
    places = [build.find(word) for word in ("cargo chef cook", "\nARG REVISION", "MARU_COMMIT=", "cargo build")]
    if -1 in places or places != sorted(places):
        raise Trouble("the Dockerfile's build does not learn REVISION, or its dependencies are built anew for it")


def instructions(text):
    """The last stage's, by name; none of them is there twice but COPY, which is not asked for."""
    stage = re.split(r"^FROM ", text, flags=re.MULTILINE)[-1].replace("\\\n", " ")
    lines = [line.split(" ", 1) for line in stage.splitlines()[1:] if line and not line.startswith("#")]
    return {word: rest.strip() for word, rest in lines}


def copy_context(context):
    """Copies what git knows of what the `!` lines of .dockerignore name; how many files that is."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    names = [line[1:] for line in lines if line.startswith("!")]
    if "*" not in lines or any(not (ROOT / name).exists() for name in names):
        raise Trouble(".dockerignore is no list of what is let through, or names what is not there")
    files = call(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *names])
    paths = [path for path in files.split("\0") if path and (ROOT / path).is_file()]
    for path in paths:
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, context / path)
    return len(paths)


def included(context):
    """Files that the sources build into the binary and that are not in the context."""
    # Cargo takes a build script that is not there for none, and what it would have told the sources is missing.
    scripts = call(["git", "-C", str(ROOT), "ls-files", "-z", "--", "build.rs", "*/build.rs"])
    missing = [f"package's {name}" for name in scripts.split("\0") if name and not (context / name).is_file()]
    for source in context.rglob("*.rs"):
        for name in re.findall(r"include_(?:str|bytes)!\(\s*\"([^\"]+)\"", source.read_text()):
            if not (source.parent / name).is_file():
                missing.append(f"{source.relative_to(context)}'s {name}")
    return missing
