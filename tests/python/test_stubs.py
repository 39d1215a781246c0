"""What editors are told is what there is."""

import ast
import inspect
import pathlib
import subprocess
import sys

import pytest
import rooftune

STUB = ast.parse((pathlib.Path(rooftune.__file__).parent / "__init__.pyi").read_text())


def parameters(node):
    return [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if argument.arg != "self"]


@pytest.mark.parametrize("function", [node for node in STUB.body if isinstance(node, ast.FunctionDef)], ids=lambda node: node.name)
def test_a_function_takes_what_its_stub_says(function):
    signature = inspect.signature(getattr(rooftune, function.name))
    named = [p.name for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert parameters(function) == named
    assert inspect.getdoc(getattr(rooftune, function.name))


@pytest.mark.parametrize("described", [node for node in STUB.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")],
                         ids=lambda node: node.name)
def test_a_class_has_what_its_stub_says(described):
    found = getattr(rooftune, described.name)
    assert found.__doc__
    members = {node.name: node for node in described.body if isinstance(node, ast.FunctionDef)}
    for name, node in members.items():
        assert hasattr(found, name), name
        function = getattr(found, name)
        if inspect.isfunction(function):
            assert parameters(node) == [p for p in inspect.signature(function).parameters if p != "self"], name
    public = {name for name in vars(found) if not name.startswith("_")}
    assert public <= set(members) | {"diagnostics"}


def test_every_name_is_in_the_stub():
    names = {node.name for node in STUB.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))} | {"__version__"}
    assert set(rooftune.__all__) == {name for name in names if not name.startswith("_") or name == "__version__"}


def test_mypy_accepts_the_stub(tmp_path):
    pytest.importorskip("mypy")
    use = tmp_path / "use.py"
    use.write_text("import rooftune\nfit: rooftune.Fit = rooftune.open_study('study.yaml', seed=3).fit(progress=print)\n"
                   "loss: float = fit.after.loss_percent\nrooftune.capacity(model='m', tp=[1, 2], objective={'ttft_p90': 500})\n")
    done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "--ignore-missing-imports", str(use)],
                          text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_config_is_offered_where_one_is_taken():
    for function in (node for node in STUB.body if isinstance(node, ast.FunctionDef)):
        for argument in function.args.kwonlyargs:
            if argument.arg == "config":
                takes_one = "Config" in ast.unparse(argument.annotation)
                assert takes_one == (function.name not in ("open_study", "onboard")), function.name
