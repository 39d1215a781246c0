"""The wheel is built without a network and works in a virtual environment."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

WITHOUT_NETWORK = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], text=True, capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def sources(tree):
    return {path for path in tree.rglob("*") if not path.is_relative_to(tree / "build") and "__pycache__" not in path.parts}


def test_a_wheel_is_built_installed_and_used(tmp_path, source):
    for module in ("pip", "wheel", "setuptools", "venv"):
        # Not imported: setuptools brings a distutils of its own, and refuses to where another was imported first.
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    # A copy of what git would give.
    tree = tmp_path / "sources"
    shutil.copytree(source, tree, ignore=lambda folder, names: {"build", "dist", "runs", ".git"} & set(names) if folder == str(source) else set())
    given = sources(tree)
    environment = os.environ | WITHOUT_NETWORK
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", tmp_path / "wheels", tree / "python",
        env=environment)
    assert sources(tree) == given, "building leaves traces in the sources"
    (wheel,) = (tmp_path / "wheels").glob("rooftune-*.whl")
    venv = tmp_path / "venv"
    # NumPy is Debian's.
    run(sys.executable, "-m", "venv", "--system-site-packages", venv)
    run(venv / "bin/python", "-m", "pip", "install", "--no-deps", wheel, env=environment)
    shutil.rmtree(tree)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ROOFTUNE_SOURCE_DIR")}
    session = """
import rooftune
assert str(rooftune.data_directory()).startswith(rooftune.__path__[0]), rooftune.data_directory()
data = rooftune.data_directory()
evaluation = rooftune.evaluate(ground_truth=data / "ground_truth/h100.json", select="id=64", config="h100", assumptions=False)
print(evaluation.loss_percent < 20, rooftune.command("--version").split()[1] == rooftune.__version__)
"""
    assert run(venv / "bin/python", "-c", session, cwd=tmp_path, env=clean) == "True True\n"
    text = run(venv / "bin/rooftune", "evaluate", "--ground-truth", venv / "lib/python3.11/site-packages/rooftune/installed/share/rooftune/ground_truth/h100.json",
               "--select", "id=64", "--config", "h100", cwd=tmp_path, env=clean)
    assert "ttft_mean" in text or "TTFT" in text
