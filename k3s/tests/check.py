"""Renders everything, and holds it against the API schemas, the rules, the policies and the binary; then shows
that each rule finds what it is for. Prints what was looked at, or what was found, and then fails."""

import sys
import tempfile
import time
from pathlib import Path

import facts
import flows
import planted
import rules
import running
import schemas
from world import World, objects, renderings


def complaints(program, scratch):
    texts = dict(renderings(scratch))
    worlds = {name: World(name, objects(text), None) for name, text in texts.items()}
    consumers, made = running.everything(program, worlds["base"], worlds["ha"])
    known = facts.gather(program, consumers)
    print(f"   {len(worlds)} renderings; {len(known.names)} names, {len(consumers)} consumers in the binary")

    for name, world in worlds.items():
        world.facts = known
        yield from (f"{name}: {what}" for one in world.objects for what in schemas.validate(one))
        yield from (f"{name}: {what}" for what in schemas.unfound(world))
        if name == "platform":
            yield from (f"{name}: {what}" for what in rules.helm_values_are_yaml(world.objects))
            continue
        for rule in [*rules.RULES, flows.flows_are_let_through_and_nothing_else]:
            yield from (f"{name}: {what}" for what in rule(world))
    yield from schemas.checkov(texts["ha"] + "\n---\n" + texts["base+tikv"], scratch)
    yield from planted.unfound(worlds)

    listed = {name: {key for key, must in keys.items() if must} for name, keys in known.outside.items()}
    for name, keys in listed.items():
        if keys and name.startswith("maru-") and keys != set(made.get(name, {})):
            yield f"make-secrets makes {sorted(made.get(name, {}))} of {name}, and the table says {sorted(keys)}"


def main():
    program, began = Path(sys.argv[1]), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maru-manifests-") as scratch:
        try:
            found = list(dict.fromkeys(complaints(program, Path(scratch))))
        except running.Fault as fault:
            found = [str(fault)]
    for one in found:
        print(f"✗  {one}", file=sys.stderr)
    took = time.monotonic() - began
    verdict = f"{len(found)} findings" if found else "as they should be"
    print(f"check-manifests: {verdict}; {len(planted.FAULTS)} planted faults tried, {took:.0f} s")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
