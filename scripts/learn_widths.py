#!/usr/bin/env python3
"""Writes what the hierarchical fit says of spreads into the widths of onboarding's priors (lib/plan/src/transfer_widths.cpp).

  learn_widths.py [--program PROGRAM] [--study STUDY]

Every width is the most probable spread of its parameter between GPUs or between versions: where runs tell nothing of it, that is the
general expectation that the fit starts from. Build again after it.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "lib/plan/src/transfer_widths.cpp"
BEGIN, END = "// widths: begin (written by scripts/learn_widths.py)", "// widths: end"


def table_of(spreads):
    """Rows of the table: parameter, spread between GPUs, spread between versions, and which of the two runs narrow."""
    widths = {}
    for spread in spreads:
        widths.setdefault(spread["parameter"], {})[spread["between"]] = spread
    rows = []
    for parameter, levels in widths.items():
        told = " and ".join(f"{name}s" for name in ("GPU", "version") if levels[name]["narrowed"])
        rows.append(f'    TransferWidth{{"{parameter}", {levels["GPU"]["spread"]:.2g}, {levels["version"]["spread"]:.2g}}},'
                    + (f"  // told between {told}" if told else ""))  # fmt: skip
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/rooftune"))
    parser.add_argument("--study", default=str(ROOT / "experiments/hierarchical.yaml"))
    options = parser.parse_args()
    run = subprocess.run([options.program, "onboard", options.study, "--spreads", "--json"], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    rows = table_of(json.loads(run.stdout)["spreads"])
    text, count = re.subn(re.escape(BEGIN) + r".*?" + re.escape(END), lambda _: "\n".join([BEGIN, *rows, "    " + END]),
                          TABLE.read_text(encoding="utf-8"), flags=re.DOTALL)  # fmt: skip
    if count != 1:
        sys.exit(f"{TABLE.name} has no place for the widths")
    TABLE.write_text(text, encoding="utf-8")
    print("\n".join(row.strip() for row in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
