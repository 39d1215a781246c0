#!/usr/bin/env python3
"""Writes the tables of docs/file_formats.md from the JSON Schemas in schema/.

  schema_docs.py [--check]

A table stands between "<!-- schema NAME -->" and "<!-- end of schema -->". --check compares instead of writing, and fails where the
document is out of date or a schema has no place in it.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/file_formats.md"
PLACE = re.compile(r"(<!-- schema ([\w-]+) -->\n).*?(<!-- end of schema -->)", re.DOTALL)
# Definitions that other documents list.
ELSEWHERE = {"parameter_id": "parameter id", "switches": "`{id: choice}`", "assignments": "`{id: value}`"}
PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null", "object": "object"}


def shown(value):
    return value if isinstance(value, str) else json.dumps(value)


class Schema:
    def __init__(self, name):
        self.name = name
        self.root = json.loads((ROOT / f"schema/{name}.schema.json").read_text())

    @staticmethod
    def target(reference):
        """The name of what a reference names."""
        file, _, path = reference.partition("#")
        name = path.rsplit("/", 1)[-1] if path else file.removesuffix(".schema.json")
        if file:
            return f"{name} of {file.removesuffix('.schema.json')}" if path else name
        return ELSEWHERE.get(name, name.replace("_", " "))

    def kind(self, schema):
        """What a value may be, in words."""
        if "$ref" in schema:
            return self.target(schema["$ref"])
        if "const" in schema:
            return f"`{shown(schema['const'])}`"
        if "enum" in schema:
            return ", ".join("null" if word is None else str(word) for word in schema["enum"])
        if "anyOf" in schema:
            constants = [self.kind(one) for one in schema["anyOf"] if "const" in one]
            others = [self.kind(one) for one in schema["anyOf"] if "const" not in one]
            return " or ".join(([", ".join(constants)] if constants else []) + others)
        kinds = schema.get("type", "anything")
        if isinstance(kinds, list):
            return " or ".join(self.kind({**schema, "type": kind}) for kind in kinds)
        if kinds == "array":
            return f"list of {self.kind(schema['items'])}" if "items" in schema else "list"
        if kinds == "object" and isinstance(schema.get("additionalProperties"), dict):
            return f"object of {self.kind(schema['additionalProperties'])}"
        return PLAIN.get(kinds, kinds) + self.bounds(schema)

    @staticmethod
    def bounds(schema):
        words = []
        if "exclusiveMinimum" in schema:
            words.append(f"above {schema['exclusiveMinimum']}")
        if "minimum" in schema:
            words.append(f"at least {schema['minimum']}")
        if "maximum" in schema:
            words.append(f"at most {schema['maximum']}")
        return "".join(" " + word for word in words)

    def objects_in(self, schema, path):
        """(schema, path) of every object with keys of its own that a value holds."""
        if schema.get("properties") and "$ref" not in schema:
            yield schema, path
        if isinstance(schema.get("items"), dict):
            yield from self.objects_in(schema["items"], path + "[]")
        if isinstance(schema.get("additionalProperties"), dict):
            yield from self.objects_in(schema["additionalProperties"], path + ".*")
        for one in schema.get("anyOf", []):
            yield from self.objects_in(one, path)

    def conditions(self, schema):
        """Key to the sentence that says when it is known."""
        found = {}
        for rule in schema.get("allOf", []):
            for key in rule.get("else", {}).get("properties", {}):
                (decides, words), = rule["if"]["properties"].items()
                found[key] = f"; with `{decides}` {', '.join(words['enum'])}"
        return found

    def rows(self, schema, path):
        conditions = self.conditions(schema)
        for key, value in schema["properties"].items():
            own = f"{path}.{key}" if path else key
            inner = list(self.objects_in(value, own))
            kind = self.kind(value)
            if "default" in value and not isinstance(value["default"], (dict, list)):
                kind += f"; default {shown(value['default'])}"
            elif value.get("default"):
                kind += f"; default `{json.dumps(value['default'])}`"
            if path is not None and key in schema.get("required", []) and self.is_read():
                kind += "; required"
            says = value.get("description", "")
            kind = kind.replace("|", "\\|")
            yield f"| `{own}` | {kind}{conditions.get(key, '')} | {says} |"
            for below, below_path in inner:
                yield from self.rows(below, below_path)

    def is_read(self):
        """Whether users write such files: what is required interests nobody else."""
        return self.name in ("study", "config", "gpus")

    def table(self):
        parts = [self.rows_of("", self.root)]
        for name, definition in self.root.get("$defs", {}).items():
            if name in ELSEWHERE:
                continue
            if not any(True for _ in self.objects_in(definition, "")):
                continue
            parts.append(self.rows_of(f"\n{name.replace('_', ' ').capitalize()}: {definition.get('description', '')}\n\n".replace(": \n", ":\n"), definition))
        return "".join(parts)

    def rows_of(self, before, schema):
        lines = [line for part, path in self.objects_in(schema, "") for line in self.rows(part, path)]
        return before + "| key | value | meaning |\n|---|---|---|\n" + "".join(line + "\n" for line in lines)


def main():
    text = DOCUMENT.read_text()
    placed = {found.group(2) for found in PLACE.finditer(text)}
    known = {path.name.removesuffix(".schema.json") for path in (ROOT / "schema").glob("*.schema.json")}
    if placed != known:
        sys.exit(f"{DOCUMENT.name} has no place for {sorted(known - placed)}, and one for {sorted(placed - known)}")
    fresh = PLACE.sub(lambda found: found.group(1) + Schema(found.group(2)).table() + found.group(3), text)
    if "--check" in sys.argv[1:]:
        sys.exit(f"{DOCUMENT.name} is out of date (run scripts/generate_docs.sh and commit the result)" if fresh != text else 0)
    DOCUMENT.write_text(fresh)


if __name__ == "__main__":
    main()
