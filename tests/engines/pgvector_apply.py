"""Loads a bundle into PostgreSQL with its own scripts, stopping and repeating on the way, and pulls everything back.

usage: python pgvector_apply.py BUNDLE OUT [--postgres 18|16] [--tamper SQL]

A server is made as in pgvector_make.py. In turn: load.sh with its last file cut short, which must fail; load.sh killed once it has marked
another file; load.sh to the end; load.sh once more; check.sh; pg_dump; the SQL of --tamper and check.sh; undo.sh; load.sh and check.sh again.

Standard output is one JSON object: exit codes and marks of each step, the indexes, the tables that undo.sh left. OUT gets `pulled`,
`tampered` and `again` (what check.sh pulled), `plain.sql` and `custom.dump`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pgvector_make import Server

MARKS = "SELECT step FROM tranship_loaded ORDER BY step"


class Bundle:
    def __init__(self, server, path, out):
        self.server, self.path, self.out = server, path, out
        host = server.uri.split("host=")[1].split("&")[0]
        self.environment = {
            **os.environ, "PSQL": str(server.bin / "psql"), "PGHOST": host, "PGUSER": "postgres", "PGDATABASE": "postgres",
            "TRANSHIP": "/nonexistent/tranship", "RETRY_SECONDS": "0",
        }

    def script(self, name, *arguments, **environment):
        done = subprocess.run(["bash", self.path / name, *arguments], env={**self.environment, **environment},
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return {"exit": done.returncode, "says": done.stderr.decode(), "marks": self.marks()}

    def check(self, into):
        return self.script("check.sh", PULLED=str(self.out / into))

    def marks(self):
        if self.server.sql("SELECT to_regclass('tranship_loaded') IS NULL").strip() == b"t":
            return []
        return self.server.sql(MARKS).decode().split("\n")[:-1]

    def cut(self):
        last = sorted((self.path / "data").glob("rows-*.bin"))[-1]
        whole = last.read_bytes()
        last.write_bytes(whole[: len(whole) * 2 // 3])
        try:
            return self.script("load.sh", CHECKSUMS="no", JOBS="1")
        finally:
            last.write_bytes(whole)

    def killed(self):
        before = len(self.marks())
        process = subprocess.Popen(["bash", self.path / "load.sh"], env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(self.marks()) == before:
            time.sleep(0.002)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        return {"marks": self.marks()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--postgres", type=int, default=18, choices=[16, 18])
    parser.add_argument("--tamper")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    server = Server(options.out / "server", options.postgres)
    try:
        bundle = Bundle(server, options.bundle, options.out)
        report = {"damaged": bundle.script("load.sh") if not sorted((options.bundle / "data").glob("*")) else bundle.cut()}
        report["killed"] = bundle.killed()
        report["loaded"] = bundle.script("load.sh")
        report["repeated"] = bundle.script("load.sh", "--resume", JOBS="3")
        report["checked"] = bundle.check("pulled")
        indexes = server.sql("SELECT indexdef FROM pg_indexes WHERE tablename <> 'tranship_loaded' AND schemaname = 'public'")
        report["indexes"] = indexes.decode().split("\n")[:-1]
        (options.out / "plain.sql").write_bytes(server.dump("-T", "tranship_loaded"))
        server.dump("-Fc", "-T", "tranship_loaded", "-f", options.out / "custom.dump")
        if options.tamper:
            server.sql(options.tamper)
            report["tampered"] = bundle.check("tampered")
        report["asked"] = bundle.script("undo.sh")
        report["undone"] = bundle.script("undo.sh", "--yes")
        report["left"] = server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").decode().split()
        report["again"] = bundle.script("load.sh")
        report["again_checked"] = bundle.check("again")
        report["refused"] = foreign(bundle)
        json.dump(report, sys.stdout)
    finally:
        server.server.cleanup()


def foreign(bundle):
    """A table of that name that the bundle has not made."""
    bundle.server.sql("DELETE FROM tranship_loaded")
    return bundle.script("load.sh")


if __name__ == "__main__":
    main()
