"""The manifests' own configuration and commands, run on this machine: nats-server with its rendered nats.conf,
alone and as three, the gate's commands, the database's flags, the gateway and all workers with every probe,
backup and restore. Only addresses, folders and the database's engine are replaced; all listen on loopback."""

import contextlib
import copy
import functools
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from world import ROOT, Fault, World, nats_conf, settings

NATS = ROOT / ".maru" / "bin" / "nats-server"


def free(count):
    """So many free ports. Together, so that no two are the same."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return None, b""


def until(what, is_so, running, patience=40):
    end = time.monotonic() + patience
    while not is_so():
        if running.poll() is not None:
            raise Fault(f"{what} did not come about: it ended")
        if time.monotonic() > end:
            raise Fault(f"{what} did not come about in {patience} s")
        time.sleep(0.1)


@contextlib.contextmanager
def process(name, scratch, args, **how):
    """Runs a program; afterwards it must end on SIGTERM by itself."""
    log = scratch / f"{name}.log"
    with log.open("wb") as out:
        one = subprocess.Popen([str(arg) for arg in args], stdout=out, stderr=out, **how)
    try:
        yield one
    except Fault as fault:
        raise Fault(f"{fault}; {name} said: {log.read_text()[-1500:]}") from None
    finally:
        one.send_signal(signal.SIGTERM)
        try:
            one.wait(30)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()


def plain(secret, key):
    return subprocess.run(["base64", "-d"], input=secret[key].encode(), capture_output=True, check=True).stdout.decode()


def environment(world, container, made, replace):
    """The variables of a container, as kubelet would set them, with what is elsewhere here replaced."""
    values, told = {}, settings(world, container)
    for one in container.get("env", []):
        source = one.get("valueFrom", {}).get("secretKeyRef")
        if source and source["key"] not in made.get(source["name"], {}):
            continue
        value = plain(made[source["name"]], source["key"]) if source else str(told[one["name"]] or "")
        for name, known in values.items():
            value = value.replace(f"$({name})", known)
        for old, new in replace.items():
            value = value.replace(old, new)
        values[one["name"]] = value
    return {"PATH": os.environ["PATH"], **values}


def pod(world, name):
    return next(one for one in world.pods() if one.name == name)


def answers(who, container, places, one):
    """Every probe of a container answers 200, and so does what Prometheus reads."""
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        where = container[kind]["httpGet"]
        url = f"http://127.0.0.1:{places[where['port']]}{where['path']}"
        until(f"{who}: 200 at {where['path']}, port {where['port']} ({kind})", lambda url=url: get(url)[0] == 200, one)
    if "metrics" in places and b"maru_build_info" not in get(f"http://127.0.0.1:{places['metrics']}/metrics")[1]:
        raise Fault(f"{who} has no metrics at its port")


@contextlib.contextmanager
def nats(world, made, scratch, count):
    """So many nats-servers as the world's nats.conf says; the ports of the first."""
    container, conf = pod(world, "nats").spec["containers"][0], nats_conf(world)
    ports = [dict(zip(("client", "monitor", "cluster"), free(3), strict=True)) for _ in range(count)]
    routes = {f"@nats-{i}.nats-headless:6222": f"@127.0.0.1:{one['cluster']}" for i, one in enumerate(ports)}
    servers = []
    with contextlib.ExitStack() as stack:
        for i, one in enumerate(ports):
            own = Path(tempfile.mkdtemp(prefix="nats-", dir=scratch))
            text = conf.replace("/data", str(own / "data")).replace("/tmp/nats.pid", str(own / "pid"))
            for was, name in [("4222", "client"), ("8222", "monitor"), ("6222", "cluster")]:
                text = text.replace(f'"0.0.0.0:{was}"', f'"127.0.0.1:{one[name]}"')
            (own / "nats.conf").write_text(text)
            env = {**environment(world, container, made, routes), "POD_NAME": f"nats-{i}"}
            started = process(own.name, scratch, [NATS, "--config", own / "nats.conf"], env=env)
            servers.append(stack.enter_context(started))
        for one, server in zip(ports, servers, strict=True):
            answers("nats", container, one, server)
        yield ports[0]


def writes_through(places):
    settings = json.loads(get(f"http://127.0.0.1:{places['monitor']}/varz")[1])["jetstream"]["config"]
    if settings.get("sync_always") is not True:
        raise Fault("nats-server does not write through")


def run(program, world, container, made, here):
    """What a Job's container does, to its end."""
    args = container["args"]
    for old, new in here.items():
        args = [arg.replace(old, new) for arg in args]
    env = environment(world, container, made, here)
    done = subprocess.run([program, *args], env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise Fault(f"{' '.join(args)}: {done.stdout}{done.stderr}")
    return done.stdout


def gate(program, world, made, here):
    """The gate's commands, in their order. What the server lacks before them, and afterwards."""
    check, apply = pod(world, "gate").containers()
    plan = {**apply, "args": ["streams", "plan"]}
    before = run(program, world, plan, made, here)
    run(program, world, check, made, here)
    run(program, world, apply, made, here)
    after = run(program, world, plan, made, here)
    if "nothing to change" not in after:
        raise Fault(f"after the gate the streams still differ: {after}")
    return set(re.findall(r"^\+ consumer (\w+)/([\w-]+)$", before, re.M))


def keda_finds(world, places):
    """KEDA reads /jsz; what it does not find there scales to the maximum."""
    url = f"http://127.0.0.1:{places['monitor']}/jsz?acc=$G&consumers=true&config=true"
    account = json.loads(get(url)[1])["account_details"][0]
    there = {(s["name"], c["name"]) for s in account["stream_detail"] for c in s.get("consumer_detail", [])}
    for one in world.of("ScaledObject"):
        for trigger in one["spec"]["triggers"]:
            asked = trigger["metadata"]
            if account["name"] != asked["account"] or (asked["stream"], asked["consumer"]) not in there:
                raise Fault(f"KEDA would not find {asked['stream']}/{asked['consumer']}")


@contextlib.contextmanager
def surrealdb(program, world, made, scratch):
    """The database with its flags, empty; its port."""
    container, (port,) = pod(world, "surrealdb").spec["containers"][0], free(1)
    env = environment(world, container, made, {"0.0.0.0:8000": f"127.0.0.1:{port}"})
    # The same server's library, which has another engine; `surreal` is the name by which it is called.
    folder = f"surrealkv://{tempfile.mkdtemp(dir=scratch)}?sync=every"
    args = [folder if arg == "rocksdb:///data/db?sync=every" else arg for arg in container["args"]]
    with process("surrealdb", scratch, ["surreal", *args], executable=program, env=env) as server:
        answers("surrealdb", container, {"http": port}, server)
        # What Prometheus is told, which has no password.
        if b"surrealdb_process_memory_bytes" not in get(f"http://127.0.0.1:{port}/metrics")[1]:
            raise Fault("SurrealDB has no metrics for somebody without a password")
        yield port


def parts(program, world, made, here, scratch):
    """The gateway and all workers, as they are rendered, until they have told a whole story and backed it up."""
    ours = [pod(world, "gateway"), *world.workers()]
    api, *metrics = free(1 + len(ours))
    keys = scratch / "keys"
    keys.mkdir()
    for name in made["maru-keys"]:
        (keys / name).write_text(plain(made["maru-keys"], name))
    keys.chmod(0o500)
    here = {**here, "0.0.0.0:8080": f"127.0.0.1:{api}", "/keys": str(keys)}
    with contextlib.ExitStack() as stack:
        started = []
        for one, port in zip(ours, metrics, strict=True):
            container = one.spec["containers"][0]
            env = environment(world, container, made, {**here, "0.0.0.0:9090": f"127.0.0.1:{port}"})
            running = process(one.name, scratch, [program, *container["args"]], env=env)
            started.append((one.name, container, {"api": api, "metrics": port}, stack.enter_context(running)))
        for one in started:
            answers(*one)
        if b'"fsynced"' not in get(f"http://127.0.0.1:{api}/readyz")[1]:
            raise Fault("the gateway does not see that all of it is written through")
        # Divided like this, they still do everything together.
        tell = [ROOT / "examples" / "first-book.sh", f"http://127.0.0.1:{api}"]
        story = subprocess.run(tell, capture_output=True, text=True, timeout=120, check=False)
        if story.returncode != 0:
            raise Fault(f"first-book.sh: {story.stdout[-600:]}{story.stderr}")
        run(program, world, pod(world, "backup").spec["containers"][0], made, here)
        for how in ([], ["--check"], ["--check", "--database-only"]):
            into_it = functools.partial(restore, program, world, made, here, *how)
            must_fault(f"a restore into the midst of it {how}", into_it)
    for name, _, _, one in started:
        if one.returncode != 0:
            raise Fault(f"{name} did not leave by itself: {one.returncode}")


def restore(program, world, made, here, *how):
    """The Job `restore`, with the folder that was backed up last, and with what k3s/restore adds."""
    (folder,) = [one.name for one in Path(here["/backup"]).iterdir() if one.is_dir()]
    container = pod(world, "restore").spec["containers"][0]
    does = {**container, "args": [*container["args"], *how]}
    run(program, world, does, made, {**here, "$(FOLDER)": folder})


def must_fault(what, run):
    """A check that lets a planted fault pass is none."""
    try:
        run()
    except Fault:
        return
    raise Fault(f"nobody notices {what}")


def everything(program, base, ha, made):
    """The consumers that the binary makes. Raises a Fault if anything does not run."""
    forgetful = World("planted", copy.deepcopy(base.objects), None)
    for one in (one for one in forgetful.of("ConfigMap") if "nats.conf" in one["data"]):
        one["data"]["nats.conf"] = one["data"]["nats.conf"].replace("sync_interval: always", "")
    strange = World("planted", copy.deepcopy(ha.objects), None)
    strange.of("ScaledObject")[0]["spec"]["triggers"][0]["metadata"]["consumer"] = "cmd-nobody"

    with tempfile.TemporaryDirectory(prefix="maru-manifests-") as folder:
        scratch = Path(folder)
        (scratch / "backup").mkdir()

        def here(places, database):
            return {
                "nats:4222": f"127.0.0.1:{places['client']}",
                "nats:8222": f"127.0.0.1:{places['monitor']}",
                "surrealdb:8000": f"127.0.0.1:{database}",
                "/backup": str(scratch / "backup"),
            }

        with nats(forgetful, made, scratch, 1) as places:
            must_fault("a nats-server that does not write through", lambda: writes_through(places))
        with nats(base, made, scratch, 1) as places, surrealdb(program, base, made, scratch) as database:
            writes_through(places)
            consumers = gate(program, base, made, here(places, database))
            keda_finds(ha, places)
            must_fault("a consumer that is not there", lambda: keda_finds(strange, places))
            parts(program, base, made, here(places, database), scratch)
        # From one server to three, the way that the page for operators has it.
        with nats(ha, made, scratch, 3) as places:
            writes_through(places)
            with surrealdb(program, ha, made, scratch) as database:
                restore(program, ha, made, here(places, database), "--check")
                restore(program, ha, made, here(places, database))
                gate(program, ha, made, here(places, database))
            # The database's disk is lost, and the streams are not.
            with surrealdb(program, ha, made, scratch) as database:
                into_it = functools.partial(restore, program, ha, made, here(places, database))
                must_fault("streams that are there", lambda: into_it("--check"))
                into_it("--check", "--database-only")
                into_it("--database-only")
        return consumers
