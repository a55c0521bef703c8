#!/usr/bin/env python3
"""Deletes the collection that load.py made. Needs the chromadb client.

  python undo.py --path DIRECTORY | --host HOST --port PORT     asks first
  python undo.py ... --yes                                      does not ask
"""
# @COMMON@


def main():
    options = arguments(("--yes", "do not ask")).parse_args()
    client, target = connect(options)
    if find(client) is None:
        die(f"there is no collection {NAME} at {target}")
    if not options.yes and input(f"Delete {NAME} at {target} with all its records? Type yes: ") != "yes":
        say("nothing was deleted")
        sys.exit(1)
    client.delete_collection(NAME)
    for old in [*STATE.glob("*.done"), *STATE.glob("target")]:
        old.unlink()
    say(f"deleted {NAME} at {target}")


if __name__ == "__main__":
    main()
