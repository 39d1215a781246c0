"""Every message about a user's input is expected, word for word, by a twin in tests/bad_inputs or by another test.

  messages_have_twins.py SOURCE_DIR

Looks at the texts in the calls that make diagnostics; new ways to make them belong in CALL.
"""

import json
import pathlib
import re
import sys

# What no file can provoke, and why.
NOT_PROVOKED = {
    "cannot be read: {}": "permissions, and tests may run as root",
    "cannot be searched: {}": "the same",
    "name a folder below": "the same",
    "check its permissions": "the same",
    "check the path and its permissions": "the same",
    "check the file, its permissions and the free space": "the same",
    "the models and GPUs that ship with rooftune were not found": "a broken installation",
    "set ROOFTUNE_DATA_DIR to the folder that holds 'configs'": "the same",
    "the written config does not predict what was reported": "a bug of ours, found before the run folder is kept",
    "nothing was kept; please report this with the study": "the same",
    "it has none yet": "a run that was killed before its first round",
    "the file holds more than {} values": "a file of a gigabyte",
    "split it": "the same",
    "cannot be read as YAML: {}": "whatever the library lets pass from below it",
    "the lock of the run folder cannot be taken: {}": "permissions",
    "wait for it; if it has ended, remove {}": "a file system without locks",
    "interrupted: {} of {} folds are not fitted": "a signal at the right moment",
    "interrupted: {} of {} variants are finished": "the same",
    "interrupted: {}": "the same",
    "this is what was finished; nothing is kept to go on from": "the same",
    "give the same command with this --out and --resume to go on": "the same",
    "go on with: rooftune fit {} --out {} --resume": "the same",
    "1 % of the requests were sent more than {:.1f} ms late": "a machine that is too slow to send",
    "the client is too slow for this rate; the times at which requests were sent are what the trace holds": "the same",
    "the system's clock was set by {:.1f} ms during the run": "the clock of the machine",
    "latencies are of the steady clock and not affected; do not join them with other logs by wall-clock time": "the same",
    "more than {} terms": "files that declare 128 terms between them",
    "declare fewer": "the same",
    "{} processes were started together, and this rooftune was built without MPI": "another build",
    "this rooftune was built without cpp-httplib and serves no pages": "the same",
    "build it where libcpp-httplib-dev and pkgconf are installed": "the same",
    "cannot be listened on": "needs a run; tests/scripts/test_watched_report.py",
    "give an address of this machine and a port that is free": "the same",
    "start it without mpirun, or build it where libopenmpi-dev is installed": "the same",
    "fit without --held-out, or change the split": "a fit that works on all data and on no part of it",
}
# Failures of the disk, and findings about measurements and fits: not what is wrong with an input.
NO_INPUTS = ("runs/src/evaluation_store", "runs/src/sqlite_database", "runs/src/improve_journal", "kernels/src/audit", "lib/improve/src", "eval/src/evaluate", "eval/src/residuals")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
HELPER = r"(?<![\w.>:])(?:fail|warn|report|refuse|about|error|problem)"
CALL = re.compile(rf"(?:\bcore::fail|\bproblems_?(?:\(\))?(?:\.|->)(?:error|warning)|{HELPER})\(|\{{\s*\.position =")


def read_code(path):
    code = re.sub(r'(?s)R"(\w*)\((.*?)\)\1"', lambda raw: json.dumps(raw[2]), path.read_text())
    code = re.sub(r"'\\?\"'", "''", code)
    code = re.sub(r"(?m)^#include.*$|(?<!\S)//.*$", "", code)
    return re.sub(r'(?<!\\)"\s+"', lambda gap: "\n" * gap.group().count("\n"), code)  # literals side by side are one


def texts(code):
    return [literal.replace('\\"', '"').replace("\n", "") for literal in LITERAL.findall(code)]


def diagnostics(code):
    """(line, arguments) of every call that makes a diagnostic."""
    for call in CALL.finditer(code):
        depth, at = 1, call.end()
        while depth:
            literal = LITERAL.match(code, at)
            depth += 0 if literal else (code[at] in "({") - (code[at] in ")}")
            at = literal.end() if literal else at + 1
        yield code.count("\n", 0, call.start()) + 1, code[call.end():at]


def is_expected(text, expected):
    pieces = re.split(r"\{[^{}]*\}", text.replace("{{", "\0").replace("}}", "\1"))
    return re.search(".*?".join(re.escape(piece.replace("\0", "{").replace("\1", "}")) for piece in pieces), expected)


def main():
    source = pathlib.Path(sys.argv[1])
    expected = "\n".join(path.read_text() for path in (source / "tests/bad_inputs").rglob("*.expected"))
    expected += "\n".join("\n".join(texts(read_code(path))) for path in (source / "tests").rglob("*.cpp"))
    sources = [path for path in sorted((source / "lib").rglob("*.[ch]pp")) if not any(part in str(path) for part in NO_INPUTS)]
    found = [(path.relative_to(source), line, text) for path in [*sources, *sorted((source / "apps").rglob("*.cpp"))]
             for line, arguments in diagnostics(read_code(path)) for text in texts(arguments)
             if " " in text and len(re.findall(r"[a-z]{2,}", text)) > 1]
    missing = [place for place in found if place[2] not in NOT_PROVOKED and not is_expected(place[2], expected)]
    for path, line, text in missing:
        print(f"{path}:{line}: no twin in tests/bad_inputs expects: {text}")
    print(f"{len(found)} texts, {len(missing)} without a twin")
    sys.exit(1 if missing or not found else 0)


if __name__ == "__main__":
    main()
