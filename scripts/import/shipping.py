"""What the importers of ground truth share: percentiles, files in one layout, and the manifest that says where they come from."""
import argparse
import csv
import datetime
import hashlib
import json
import math
import pathlib

MANIFEST = "manifest.json"
FIGURES_ONLY = "measured figures and settings only (facts), no text or code"


def percentile(values, fraction):
    """Linear interpolation between order statistics (type 7)."""
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def mean(values):
    return math.fsum(values) / len(values)


def standard_deviation(values):
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / len(values))


def rounded(value):
    """Nanoseconds in milliseconds: far below what any client resolves, and readable."""
    return round(value, 6)


def is_flat(value):
    items = value.values() if isinstance(value, dict) else value
    return not any(isinstance(item, (dict, list)) and item for item in items)


def json_text(value, indent=0):
    """JSON with one line per innermost object or list, two spaces per level."""
    if not isinstance(value, (dict, list)) or is_flat(value):
        return json.dumps(value, ensure_ascii=False)
    pad = "  " * (indent + 1)
    if isinstance(value, list):
        body = ",\n".join(pad + json_text(item, indent + 1) for item in value)
        return f"[\n{body}\n{'  ' * indent}]"
    body = ",\n".join(f"{pad}{json.dumps(key)}: {json_text(item, indent + 1)}" for key, item in value.items())
    return f"{{\n{body}\n{'  ' * indent}}}"


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json_text(value) + "\n")


def write_csv(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def parser_of(description, reads):
    """The command line of an importer: what it reads, where it writes, and the day of the import."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(reads, type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--date")
    return parser


class Shipment:
    """What an importer writes below --out, each file with its entry in the manifest."""

    def __init__(self, arguments, importer, licence):
        self.folder, self.date = arguments.out, arguments.date
        self.importer, self.licence = importer, licence

    def json(self, name, value, *, what, sources):
        write_json(self.folder / name, value)
        self._record(name, what, sources)

    def csv(self, name, columns, rows, *, what, sources):
        write_csv(self.folder / name, columns, rows)
        self._record(name, what, sources)

    def _record(self, name, what, sources):
        record(
            self.folder,
            self.folder / name,
            what=what,
            sources=sources,
            licence=self.licence,
            importer=self.importer,
            date=self.date,
        )


def record(folder, file, *, what, sources, licence, importer, date=None):
    """Adds or replaces the manifest entry of `file` (a path inside `folder`)."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text()) if path.exists() else {"schema": "rooftune/ground_truth_manifest/1", "files": []}
    name = file.relative_to(folder).as_posix()
    entry = {
        "file": name,
        "what": what,
        "sources": sources,
        "licence": licence,
        "contents": FIGURES_ONLY,
        "importer": f"scripts/import/{pathlib.Path(importer).name}",
        "imported": date or datetime.date.today().isoformat(),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    others = [other for other in manifest["files"] if other["file"] != name]
    manifest["files"] = sorted([*others, entry], key=lambda item: item["file"])
    write_json(path, manifest)
