"""What docs/python.md and the notebook show works as it stands there, from an empty folder."""

import ast
import json
import re
import sys

import pytest
import rooftune

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Packages that a reader may do without, and the blocks that need them then cannot run.
OPTIONAL = ("matplotlib", "pandas", "scipy", "lmfit")


def is_installed(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def missing_for(code):
    needed = {name for name in OPTIONAL if re.search(rf"\b{name}\b", code)} | ({"pandas"} if "to_frame" in code else set())
    return sorted(name for name in needed if not is_installed(name))


@pytest.fixture(autouse=True)
def plots_into_files(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")


def names_in(code, context):
    """Names that the code binds (ast.Store, imports included) or reads (ast.Load)."""
    tree = ast.parse(code)
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Store:
        imports = (alias for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names)
        found |= {(alias.asname or alias.name).split(".")[0] for alias in imports}
    return found


def run_blocks(blocks, where):
    """Runs code in one namespace, as a session would; blocks without their packages are left out and named, and those that use what
    these would have made."""
    names = {"__name__": "__main__"}
    left_out, unbound = set(), set()
    for i, code in enumerate(blocks):
        missing = missing_for(code)
        if missing or names_in(code, ast.Load) & (unbound - names.keys()):
            left_out.update(missing)
            unbound |= names_in(code, ast.Store)
            continue
        exec(compile(code, f"{where}, block {i + 1}", "exec"), names)
    if left_out:
        print(f"{where}: blocks that need {', '.join(sorted(left_out))} were left out", file=sys.stderr)
    return names


def test_the_session_of_the_document_ends_in_a_config(folder, source):
    document = (source / "docs/python.md").read_text()
    blocks = BLOCK.findall(document)
    for language, text in blocks:
        if text.startswith("# file: "):
            first, rest = text.split("\n", 1)
            path = folder / first.removeprefix("# file: ").strip()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rest)
    names = run_blocks([text for language, text in blocks if language == "python"], "docs/python.md")
    fit = names["fit"].to_dict()
    errors = [fit[when][f"{metric}_mean_ms"]["mean_ape_percent"] for metric in ("ttft", "e2e") for when in ("before", "after")]
    parameters = {one["parameter"]: one for one in fit["parameters"]}
    front_end_ms = parameters["frontend.constant_us"]["value"] / 1000
    sentence = (f"The error of the mean TTFT falls from {errors[0]:.0f} to {errors[1]:.1f} % and that of E2E from {errors[2]:.0f} to {errors[3]:.1f} %")
    assert sentence in document
    assert f"the fit finds the front end's {front_end_ms:.1f} ms" in document
    assert parameters["physics.t_layer_us"]["verdict"] == "mostly its prior"
    assert rooftune.load_config("tuned.json") == names["fit"].tuned
    if is_installed("matplotlib"):
        assert (folder / "errors.png").stat().st_size > 1000


def code_cells(notebook):
    """Without the notebook's own commands (%matplotlib)."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [re.sub(r"^%.*$", "", text, flags=re.MULTILINE) for text in sources]


def test_the_notebook_runs(folder, source):
    file = source / "examples/calibrate.ipynb"
    cells = code_cells(json.loads(file.read_text()))
    if all(map(is_installed, ("nbclient", "nbformat", "ipykernel"))) and not missing_for("\n".join(cells)):
        import nbclient
        import nbformat
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
        shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        assert any("text/html" in output.get("data", {}) for output in shown)
        assert any("image/png" in output.get("data", {}) for output in shown)
        return
    run_blocks(cells, "the notebook")


def test_the_notebook_is_kept_without_output(source):
    notebook = json.loads((source / "examples/calibrate.ipynb").read_text())
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in notebook["cells"] if cell["cell_type"] == "code")
