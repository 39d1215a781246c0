"""What the tests of the Python package share."""

import os
import pathlib
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["ROOFTUNE_SOURCE_DIR"])

STUDY = """
name: small
data:
  ground_truth: [{source}/ground_truth/h100.json]
  select: {{id: ['64', '62']}}
start: {{step_time_model: physics}}
free:
  - frontend.constant_us
  - {{id: physics.t_layer_us, prior: {{centre: 24.7, standard_deviation: 0.2}}}}
  - {{id: physics.weight_bandwidth_fraction, prior: {{centre: 0.873, standard_deviation: 0.05}}}}
solver: [{{algorithm: ceres_lm, max_evaluations: 40}}]
crossval: {{split: LeaveOneGroupOut, group: model}}
"""


@pytest.fixture(scope="session")
def source():
    return SOURCE


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def study_file(folder):
    file = folder / "study.yaml"
    file.write_text(STUDY.format(source=SOURCE))
    return file


@pytest.fixture
def study(study_file):
    import rooftune
    return rooftune.open_study("study.yaml")


def run_program(*words):
    """The program in the working directory: what it printed; the test fails where it does not end well."""
    import rooftune
    done = subprocess.run([rooftune.program(), *map(str, words)], text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
