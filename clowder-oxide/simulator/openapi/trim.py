#!/usr/bin/env python3
"""Trims the description of the Oxide region API to what the simulator answers.

    python3 trim.py FULL.json > nexus.json

FULL.json is `oxide.json` of the repository oxidecomputer/oxide.rs. What is left: the operations listed in
`operations.txt` beside this file, the schemas that they reach, and no prose.
"""

import json
import pathlib
import sys

KEPT_OF_OPERATION = ("operationId", "parameters", "requestBody", "responses", "x-dropshot-pagination")


def without_prose(node):
    """The node without descriptions and titles; a property that is called so has a schema and stays."""
    if isinstance(node, dict):
        prose = {"description", "title", "summary"}
        return {k: without_prose(v) for k, v in node.items() if not (k in prose and isinstance(v, str))}
    if isinstance(node, list):
        return [without_prose(item) for item in node]
    return node


def references(node):
    """Names of the schemas that the node refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str) and "/schemas/" in node["$ref"]:
            yield node["$ref"].rsplit("/", 1)[-1]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def main():
    wanted = set((pathlib.Path(__file__).parent / "operations.txt").read_text().split())
    full = json.load(open(sys.argv[1], encoding="utf-8"))
    paths, found = {}, set()
    for path, methods in full["paths"].items():
        for method, operation in methods.items():
            if operation.get("operationId") in wanted:
                found.add(operation["operationId"])
                kept = {key: operation[key] for key in KEPT_OF_OPERATION if key in operation}
                paths.setdefault(path, {})[method] = without_prose(kept)
    if wanted - found:
        sys.exit(f"the description has no {', '.join(sorted(wanted - found))}")
    responses = without_prose(full["components"]["responses"])
    schemas, pending = {}, set(references([paths, responses]))
    while pending:
        name = pending.pop()
        schemas[name] = without_prose(full["components"]["schemas"][name])
        pending |= set(references(schemas[name])) - schemas.keys()
    trimmed = {
        "openapi": full["openapi"],
        "info": {
            "title": full["info"]["title"],
            "version": full["info"]["version"],
            "license": {"name": "MPL-2.0", "url": "https://mozilla.org/MPL/2.0/"},
        },
        "paths": paths,
        "components": {"responses": responses, "schemas": dict(sorted(schemas.items()))},
    }
    json.dump(trimmed, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
