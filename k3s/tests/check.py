"""Renders everything, and holds it against the API schemas, the rules, the policies and the binary; then shows
that each rule finds what it is for. Prints what was looked at, or what was found, and then fails."""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import facts
import flows
import planted
import pods
import rules
import running
import schemas
import scripts
import watching
from world import Fault, World, objects, renderings


def complaints(program, scratch, background):
    texts = dict(renderings(scratch))
    worlds = {name: World(name, objects(text), None) for name, text in texts.items()}
    # It takes as long as all the rest, in a process of its own.
    checkov = background.submit(
        schemas.checkov,
        [*worlds["ha"].objects, *worlds["carrier"].objects, *worlds["base+tikv"].of("StatefulSet")],
        scratch,
    )
    made = scripts.secrets(scratch)
    scripts.deploy_and_restore(texts["single"], scratch)
    consumers = running.everything(program, worlds["base"], worlds["ha"], made)
    known = facts.gather(program, consumers)
    print(f"   {len(worlds)} renderings; {len(known.names)} names, {len(consumers)} consumers in the binary")

    special = {
        "platform": [*rules.OF_PLATFORM, *watching.OF_PLATFORM],
        "carrier": [pods.pods_are_restricted, pods.images_are_pinned],
    }
    for name, world in worlds.items():
        world.facts = known
        yield from (f"{name}: {what}" for one in world.objects for what in schemas.validate(one))
        held_to = special.get(name, [*rules.RULES, *pods.RULES, *flows.RULES, *watching.RULES])
        for rule in held_to:
            yield from (f"{name}: {what}" for what in rule(world))
    yield from schemas.unfound(one for world in worlds.values() for one in world.objects)
    yield from planted.unfound(worlds)
    yield from checkov.result()

    listed = {name: {key for key, must in keys.items() if must} for name, keys in known.outside.items()}
    for name, keys in listed.items():
        if keys and name.startswith("maru-") and keys != set(made.get(name, {})):
            yield f"make-secrets makes {sorted(made.get(name, {}))} of {name}, and the table says {sorted(keys)}"


def main():
    program, began = Path(sys.argv[1]), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maru-manifests-") as scratch, ThreadPoolExecutor(1) as background:
        try:
            found = list(dict.fromkeys(complaints(program, Path(scratch), background)))
        except Fault as fault:
            found = [str(fault)]
    for one in found:
        print(f"✗  {one}", file=sys.stderr)
    took = time.monotonic() - began
    verdict = f"{len(found)} findings" if found else "as they should be"
    print(f"check-manifests: {verdict}; {sum(map(len, planted.FAULTS.values()))} planted faults tried, {took:.0f} s")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
