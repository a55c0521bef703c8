"""Loads bundles into a real Milvus 2.3.5 server with their own scripts, and reads every row back from it.

usage: python milvus_apply.py WORK TRANSHIP BUNDLE=SOURCE [BUNDLE=SOURCE ..]

The server binds every address whatever it is told, and ignores SIGTERM: so the script starts itself again in a network and a process
namespace of its own (`unshare`, which needs root or user namespaces), has no network but a loopback, and the server ends with it.
WORK is a directory of the test's own. TRANSHIP is the binary, SOURCE what the bundle was written from, as a locator.

For every bundle, all at once: load.sh, with its first run killed once a file is imported; load.sh again, which must refuse; load.sh --resume;
check.sh; a row deleted and check.sh; undo.sh; and for the first of them load.sh, check.sh and undo.sh once more. Standard output is one JSON object: seconds the server took to
start, and for each bundle the exit codes, what check.sh said, and seconds. WORK/NAME.jsonl is what check.py pulled.
"""

import fcntl
import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

INSIDE = "MILVUS_APPLY_INSIDE"


def enter_namespaces():
    """Runs this script again where no network is."""
    command = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        command.insert(1, "--map-root-user")
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        sys.exit(f"Milvus binds every address, so its server is run in a network namespace of its own; {' '.join(command)} says: {tried.stderr}")
    os.environ[INSIDE] = "1"
    # pymilvus takes seconds to compile, and every script imports it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(sys.argv[1], "pycache")
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def loopback_up():
    request = struct.pack("16sh", b"lo", 0x1 | 0x40)
    fcntl.ioctl(socket.socket(), 0x8914, request + bytes(14))


class Bundle:
    def __init__(self, path, source, port, tranship):
        self.path = path = os.path.abspath(path)
        places = [os.path.dirname(sys.executable), os.path.dirname(tranship), os.environ["PATH"]]
        self.environment = dict(os.environ, MILVUS_URI=f"http://127.0.0.1:{port}", MILVUS_PREFIX=os.path.join(path, "data"),
                                TRANSHIP_SOURCE=source, TRANSHIP_PROGRESS="none", PATH=":".join(places))

    def start(self, script, *arguments):
        return subprocess.Popen(["bash", os.path.join(self.path, script), *arguments], env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, script, *arguments):
        process = self.start(script, *arguments)
        begun = time.monotonic()
        said = process.communicate()[0]
        took = time.monotonic() - begun
        print(f"{os.path.basename(self.path)} {script} {' '.join(arguments)}: {process.returncode} in {took:.1f} s\n{said}", file=sys.stderr)
        return [process.returncode, said.strip().splitlines()[-1:]]

    def kill_after_first_task(self):
        """Stops load.sh once it has asked for an import."""
        from pymilvus import utility

        name = json.load(open(os.path.join(self.path, "schema.json")))["collectionName"]
        process = self.start("load.sh")
        while process.poll() is None and not (utility.has_collection(name) and utility.list_bulk_insert_tasks(collection_name=name)):
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return process.returncode


def delete_a_row(bundle):
    from pymilvus import Collection

    mapping = json.load(open(os.path.join(bundle.path, "mapping.json")))
    key, collection = mapping["form"]["key"], Collection(mapping["collection"])
    integers = mapping["ids"]["integers"] == "i64"
    first = collection.query(f"{key} > 0" if integers else f'{key} >= ""', output_fields=[key], limit=1)[0][key]
    collection.delete(f"{key} in [{json.dumps(first)}]")
    return first


def apply(bundle, work, twice):
    begun, found = time.monotonic(), {}
    found["killed"] = bundle.kill_after_first_task()
    found["again"] = bundle.run("load.sh")
    found["load"] = bundle.run("load.sh", "--resume")
    found["check"] = bundle.run("check.sh")
    if found["check"][0] == 0:
        shutil.copy(os.path.join(bundle.path, "pulled.jsonl"), os.path.join(work, os.path.basename(bundle.path) + ".jsonl"))
    found["deleted"] = delete_a_row(bundle)
    found["tampered"] = bundle.run("check.sh")
    found["undo"] = bundle.run("undo.sh")
    if twice:
        found["anew"] = [bundle.run("load.sh"), bundle.run("check.sh"), bundle.run("undo.sh")]
    found["seconds"] = time.monotonic() - begun
    return found


def show_log(folder):
    """The end of what the server wrote: why it is no longer there."""
    for path in glob.glob(os.path.join(folder, "*")):
        with open(path, errors="replace") as file:
            print(f"{path}:", *deque(file, 30), sep="\n", file=sys.stderr)


def main(work, tranship, *pairs):
    import pymilvus
    from milvus import default_server

    os.makedirs(work, exist_ok=True)
    loopback_up()
    started = time.monotonic()
    # On a machine that is busy the server misses its own heartbeats and ends itself.
    patient = default_server.config.template_text.replace("    ttl: 30 #", "    ttl: 900 #")
    assert patient != default_server.config.template_text, "the server's configuration names its sessions otherwise"
    default_server.config.template_text = patient
    default_server.set_base_dir(os.path.join(work, "server"))
    default_server.start()
    pymilvus.connections.connect(host="127.0.0.1", port=default_server.listen_port)
    report = {"version": pymilvus.utility.get_server_version(), "started": time.monotonic() - started, "bundles": {}}
    bundles = [pair.split("=", 1) for pair in pairs]
    with ThreadPoolExecutor(len(bundles)) as threads:
        jobs = [threads.submit(apply, Bundle(path, source, default_server.listen_port, tranship), work, path == bundles[0][0]) for path, source in bundles]
        try:
            report["bundles"] = {os.path.basename(path): job.result() for (path, _), job in zip(bundles, jobs)}
        finally:
            if default_server.server_proc.poll() is not None:
                show_log(os.path.join(work, "server", "logs"))
    report["left"] = pymilvus.utility.list_collections()
    print(json.dumps(report), flush=True)
    for scratch in ("server", "pycache"):
        shutil.rmtree(os.path.join(work, scratch), ignore_errors=True)
    # The server ends with its process namespace.
    os._exit(0)


if INSIDE not in os.environ:
    enter_namespaces()
main(*sys.argv[1:])
