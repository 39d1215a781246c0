#!/usr/bin/env python3
"""House rules that no compiler checks. Prints one line per violation; exit code 1 when there is any.

- a layer (lib/<layer>) includes headers only of itself and of layers that it links, directly or through them
- a layer's CMakeLists.txt lists every header and source that lies in its folder, and nothing else
- the layer table of docs/architecture.md says what CMake says: layers and their order, what they use, third-party libraries
- no namespace of the library and the program has two types of one name: where two files define them, no linker complains, and
  a template over one may get the code of the other
- public headers do not show the third-party libraries that are one layer's private matter
- "ADR 12" and "docs/adr/0012" name a decision that is there, and no two decisions have one number
- tracked files name no path of somebody's machine and hold no unfinished work
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)
LAYER_ORDER = re.compile(r"foreach\s*\(layer ([^)]*)\)")
LAYER = re.compile(r"rooftune_add_layer\s*\(([^)]*)\)")
OPENS_NAMESPACE = re.compile(r"^(?:inline )?namespace(?: ([\w:]+))? \{")
CLOSES_NAMESPACE = re.compile(r"^\}\s*// namespace")
DEFINES_TYPE = re.compile(r"^(?:struct|class|enum class|union) (?:alignas\(\w+\) )?(\w+)(?: final)?(?: : [^{;]*)?\s*\{")
KEYWORDS = ("SOURCES", "HEADERS", "USES", "PUBLIC_LIBRARIES", "PRIVATE_LIBRARIES")
# First path component of the headers of libraries that only sources may include, and the target that a layer must link
# publicly where its public headers may show them.
PRIVATE_LIBRARIES = {
    "nlopt.hpp": "NLopt::nlopt", "nlohmann": "nlohmann_json::nlohmann_json", "yaml-cpp": "yaml-cpp", "SQLiteCpp": "SQLiteCpp",
    "sqlite3.h": "SQLite::SQLite3", "CLI": "CLI11::CLI11", "curl": "CURL::libcurl", "spdlog": "spdlog::spdlog", "openssl": "OpenSSL::Crypto", "oneapi": "TBB::tbb",
    "tbb": "TBB::tbb"}
DECISION = re.compile(r"\bADR \[?(\d+)\b|\badr/(\d{4})\b")
# Spelled in pieces, so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:wor" r"k|roo" r"t|far" r"m|tm" r"p(?=/[a-z])|hom" r"e)/")
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|DISAB" r"LED_\w+)\b|not imple" r"mented", re.IGNORECASE)
TEXT_SUFFIXES = {".cpp", ".hpp", ".cmake", ".txt", ".py", ".sh", ".md", ".yaml", ".yml", ".in", ".cfg", ""}


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def parse_layer(text):
    """The keyword lists of the rooftune_add_layer call in a CMakeLists.txt, or None."""
    match = LAYER.search(re.sub(r"#.*", "", text))
    if not match:
        return None
    lists = {keyword: [] for keyword in KEYWORDS}
    name, *words = match.group(1).split()
    keyword = None
    for word in words:
        if word in KEYWORDS:
            keyword = word
        elif keyword:
            lists[keyword].append(word)
    return name, lists


def load_layers(root):
    layers = {}
    for cmake_file in sorted(root.glob("lib/*/CMakeLists.txt")):
        parsed = parse_layer(read(cmake_file))
        if parsed:
            layers[parsed[0]] = parsed[1]
    return layers


def reachable(layers, name):
    """The layers that `name` links, directly or through others."""
    found, queue = set(), list(layers[name]["USES"])
    while queue:
        used = queue.pop()
        if used not in found:
            found.add(used)
            queue += layers.get(used, {"USES": []})["USES"]
    return found


def check_includes(root, layers):
    for name in layers:
        allowed = reachable(layers, name) | {name}
        shown = {library for used in allowed for library in layers.get(used, {"PUBLIC_LIBRARIES": []})["PUBLIC_LIBRARIES"]}
        for path in sorted((root / "lib" / name).rglob("*.[ch]pp")):
            public = "include" in path.relative_to(root).parts
            text = read(path)
            for match in INCLUDE.finditer(text):
                header = match.group(1)
                where = f"{path.relative_to(root)}:{text.count(chr(10), 0, match.start(1)) + 1}"
                parts = header.split("/")
                if parts[0] == "rooftune" and parts[1] not in allowed:
                    yield f"{where}: layer '{name}' includes '{header}' but does not link '{parts[1]}' (add it to USES if it lies below)"
                if public and parts[0] in PRIVATE_LIBRARIES and PRIVATE_LIBRARIES[parts[0]] not in shown:
                    yield f"{where}: public header shows the private library '{parts[0]}' (move it to src/)"


def check_listing(root, layers):
    for name, lists in layers.items():
        folder = root / "lib" / name
        for keyword, base, pattern in (("HEADERS", folder / "include" / "rooftune" / name, "*.hpp"), ("SOURCES", folder / "src", "*.cpp")):
            present = {str(path.relative_to(base)) for path in base.rglob(pattern)}
            listed = set(lists[keyword])
            for file in sorted(present - listed):
                yield f"lib/{name}/CMakeLists.txt: {file} lies in the folder but is not listed under {keyword}"
            for file in sorted(listed - present):
                yield f"lib/{name}/CMakeLists.txt: {file} is listed under {keyword} but does not exist"


def layer_table(text):
    """(line, name, used layers, third-party libraries) of each row of the layer table in docs/architecture.md, without `apps`."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "layer":
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and cells[0].startswith("`") and cells[0] != "`apps`":
            name, _, uses, libraries = cells
            yield number, name.strip("`"), words_of(uses) - {"nothing"}, {package(library) for library in words_of(libraries)}


def words_of(cell):
    """The names in a cell: separated by commas or semicolons, remarks in brackets left out."""
    return {word.strip() for word in re.split("[,;]", re.sub(r"\([^)]*\)", "", cell)) if word.strip()}


def package(target):
    """fmt of fmt::fmt."""
    return target.split("::")[0]


def check_layer_table(root, layers):
    page = "docs/architecture.md"
    rows = list(layer_table(read(root / page)))
    order = LAYER_ORDER.search(read(root / "CMakeLists.txt")).group(1).split()
    if [name for _, name, _, _ in rows] != order:
        yield f"{page}: the layer table lists {', '.join(name for _, name, _, _ in rows)}; CMakeLists.txt adds {', '.join(order)}"
    for number, name, uses, libraries in rows:
        lists = layers.get(name)
        if lists is None:
            yield f"{page}:{number}: there is no layer '{name}'"
            continue
        linked = {package(library) for keyword in ("PUBLIC_LIBRARIES", "PRIVATE_LIBRARIES") for library in lists[keyword]}
        for what, written, real in (("layers", uses, set(lists["USES"])), ("libraries", libraries, linked)):
            if written != real:
                yield f"{page}:{number}: '{name}' links the {what} {', '.join(sorted(real)) or 'none'}; the table says {', '.join(sorted(written)) or 'none'}"


def named_types(text):
    """(line, qualified name) of the types that other files can see: those outside of unnamed namespaces and other types."""
    namespaces = []
    for number, line in enumerate(text.splitlines(), 1):
        if match := OPENS_NAMESPACE.match(line):
            namespaces.append(match.group(1))
        elif CLOSES_NAMESPACE.match(line):
            namespaces.pop()
        elif (match := DEFINES_TYPE.match(line)) and None not in namespaces:
            yield number, "::".join([*namespaces, match.group(1)])


def check_types(root):
    defined = {}
    for path in sorted([*root.glob("lib/**/*.[ch]pp"), *root.glob("apps/**/*.[ch]pp")]):
        for number, name in named_types(read(path)):
            where = f"{path.relative_to(root)}:{number}"
            if name in defined:
                yield f"{where}: {name} is another type at {defined[name]} (rename one, or move it into an unnamed namespace)"
            defined[name] = where


def tracked_files(root):
    output = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    return [root / name for name in output.split("\0") if name]


def check_text(path, text):
    """Lines with a machine's path or unfinished work."""
    for number, line in enumerate(text.splitlines(), 1):
        if MACHINE_PATH.search(line):
            yield f"{path}:{number}: names a path of a machine: {line.strip()[:100]}"
        if UNFINISHED.search(line):
            yield f"{path}:{number}: unfinished work: {line.strip()[:100]}"


def decisions(root):
    """File names by number of docs/adr/."""
    found = {}
    for path in sorted(root.glob("docs/adr/*.md")):
        found.setdefault(int(path.name.split("-")[0]), []).append(path.name)
    return found


def check_decisions(root):
    for number, names in decisions(root).items():
        if len(names) > 1:
            yield f"docs/adr: {' and '.join(names)} have one number (give one of them the next free one)"


def check_decisions_named(path, text, known):
    """Lines that name a decision which is not there."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in DECISION.finditer(line):
            if int(match[1] or match[2]) not in known:
                yield f"{path}:{number}: there is no decision {match[0]} in docs/adr"


def check_tracked(root):
    known = decisions(root)
    for path in tracked_files(root):
        if path.suffix in TEXT_SUFFIXES and path.is_file() and path.name not in ("LICENSE", ".gitignore"):
            yield from check_text(path.relative_to(root), read(path))
            yield from check_decisions_named(path.relative_to(root), read(path), known)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args(arguments).root
    layers = load_layers(root)
    if not layers:
        sys.exit(f"error: no layers under {root}/lib")
    problems = [*check_includes(root, layers), *check_listing(root, layers), *check_layer_table(root, layers), *check_types(root), *check_decisions(root), *check_tracked(root)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
