"""Studies do in Python what their commands do."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
import rooftune
from conftest import run_program


def test_a_fit_writes_the_bytes_of_the_command(study, folder):
    fit = study.fit("ours")
    run_program("fit", "study.yaml", "--out", "theirs")
    assert sorted(path.name for path in (folder / "ours").iterdir()) == sorted(path.name for path in (folder / "theirs").iterdir())
    for name in ("result.json", "tuned.json", "evaluation.json", "evaluation.csv", "study.yaml"):
        assert (folder / "ours" / name).read_bytes() == (folder / "theirs" / name).read_bytes(), name
    assert fit.folder == "ours"
    assert fit.to_dict() == json.loads((folder / "theirs/result.json").read_text())
    assert fit.tuned == rooftune.load_config("theirs/tuned.json")


def test_the_manifest_names_the_command_line_that_does_the_same(study_file, folder):
    rooftune.open_study("study.yaml", select={"id": [64]}, seed=3).fit("ours", profile=["physics.t_layer_us"])
    arguments = json.loads((folder / "ours/manifest.json").read_text())["arguments"]
    assert arguments[:2] == ["fit", "study.yaml"]
    run_program(*arguments[:-2], "--out", "theirs")
    assert (folder / "ours/result.json").read_bytes() == (folder / "theirs/result.json").read_bytes()


def test_a_fit_without_a_folder_writes_nothing(study, folder):
    fit = study.fit()
    assert fit.folder is None
    assert [path.name for path in folder.iterdir()] == ["study.yaml"]
    fit.tuned.save("tuned.json")
    assert rooftune.load_config("tuned.json") == fit.tuned
    assert study.evaluate(config=fit.tuned).predicted_ms.tolist() == fit.after.predicted_ms.tolist()


def test_two_fits_of_one_study_are_alike(study):
    first, second = study.fit(), study.fit()
    assert first.to_json() == second.to_json()
    assert first.objective_after < first.objective_before


def test_a_finished_run_is_not_run_again(study):
    study.fit("run")
    with pytest.raises(rooftune.Error, match="nothing to resume"):
        study.fit("run", resume=True)


def test_crossval_is_the_command(study, folder):
    folds = []
    result = study.crossval("ours", progress=folds.append)
    run_program("crossval", "study.yaml", "--out", "theirs")
    assert (folder / "ours/result.json").read_bytes() == (folder / "theirs/result.json").read_bytes()
    assert folds[-1] == {"finished": 2, "total": 2}
    assert len(result.pooled.predicted_ms) > 0


def test_evaluate_is_the_command(folder, source):
    truth = source / "ground_truth/h100.json"
    ours = rooftune.evaluate(ground_truth=truth, select={"id": [64, 62]}, config="h100.physics")
    theirs = run_program("evaluate", "--ground-truth", truth, "--select", "id=64", "--select", "id=62", "--config", "h100.physics", "--json")
    assert ours.to_dict() == json.loads(theirs)


def test_evaluate_finds_the_config_that_ships_for_the_gpu(folder, source):
    evaluation = rooftune.evaluate(ground_truth=source / "ground_truth/h100.json", select="id=64", assumptions=False)
    assert evaluation.loss_percent < 20
    named = rooftune.evaluate(ground_truth=source / "ground_truth/h100.json", select="id=64", config="h100", assumptions=False)
    assert evaluation.predicted_ms.tolist() == named.predicted_ms.tolist()


def test_onboard_is_the_command(folder, source):
    file = source / "experiments/onboard_l40s.yaml"
    steps = []
    onboarding = rooftune.onboard(file, "ours", progress=steps.append)
    run_program("onboard", file, "--out", "theirs")
    assert (folder / "ours/result.json").read_bytes() == (folder / "theirs/result.json").read_bytes()
    assert onboarding.tuned == rooftune.load_config("theirs/tuned.json")
    assert steps and set(steps[0]) == {"step"}


def test_what_is_wrong_is_said_in_the_command_s_words(study_file):
    study_file.write_text(study_file.read_text().replace("physics.t_layer_us", "physics.t_lair_us").replace("'62'", "'6x2'"))
    with pytest.raises(rooftune.Error) as caught:
        rooftune.open_study("study.yaml")
    done = subprocess.run([rooftune.program(), "fit", "study.yaml"], text=True, capture_output=True, check=False)
    assert str(caught.value) == done.stderr.rstrip("\n")
    first = caught.value.diagnostics[0]
    assert first["file"] == "study.yaml" and first["line"] > 0 and first["column"] > 0 and first["severity"] == "error"
    assert f"study.yaml:{first['line']}:{first['column']}: error: {first['problem']}" in str(caught.value)


@pytest.mark.parametrize("keywords", [{"seeds": 3}, {"config": 3, "selekt": "id=1"}])
def test_an_unknown_keyword_is_a_type_error(study_file, keywords):
    with pytest.raises(TypeError, match="did you mean"):
        rooftune.open_study("study.yaml", **keywords)


def test_a_bad_value_is_said_as_of_an_option(study_file):
    with pytest.raises(rooftune.Error, match="--threads: -1 is out of range .* \\(see help\\(rooftune.open_study\\)\\)"):
        rooftune.open_study("study.yaml", threads=-1)


def test_a_folder_that_is_another_run_s_is_refused(study):
    study.fit("run")
    with pytest.raises(rooftune.Error, match="run"):
        study.crossval("run")


def test_the_refits_of_a_fit_are_told_beside_where_the_search_ended(study):
    seen = []
    study.fit(held_out=True, progress=seen.append)
    search = {"evaluations", "most_evaluations", "objective", "seconds", "held_out_percent"}
    assert {frozenset(now) for now in seen} <= {frozenset(search), frozenset(search | {"finished", "total"})}
    assert (seen[-1]["finished"], seen[-1]["total"]) == (2, 2)
    assert seen[-1]["evaluations"] > 0 and seen[-1]["objective"] > 0


class Enough(Exception):
    pass


# Ctrl-C after a second.
INTERRUPTED = """
import os, signal, threading
import rooftune
study = rooftune.open_study("study.yaml")
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
fit = study.fit("run")
print(fit.interrupted, fit.objective_after <= fit.objective_before, fit.to_dict()["interrupted"])
"""


@pytest.fixture
def long_study(study_file):
    """A search that goes on to its last evaluation."""
    study_file.write_text(study_file.read_text().replace("{algorithm: ceres_lm, max_evaluations: 40}",
                                                         "{algorithm: isres, max_evaluations: 1000000}"))
    return rooftune.open_study("study.yaml")


@pytest.mark.usefixtures("long_study")
def test_ctrl_c_ends_a_fit_with_the_best_so_far(folder):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], text=True, capture_output=True, timeout=120, env=os.environ, check=False)
    assert done.stdout == "True True True\n", done.stderr
    assert "interrupted: this is the best so far" in done.stderr
    assert json.loads((folder / "run/manifest.json").read_text())["state"] == "interrupted"
    assert (folder / "run/tuned.json").exists()


# Ctrl-C as soon as the search is over and its refits have begun.
INTERRUPTED_REFITS = """
import os, signal, threading
import rooftune
study = rooftune.open_study("study.yaml")
interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
def progress(now):
    if now.get("finished") == 1:
        interrupt.start()
fit = study.fit("run", held_out=True, progress=progress)
print(fit.interrupted, fit.to_dict()["parameters"][0]["standard_error"] is not None)
"""


def test_ctrl_c_in_the_refits_keeps_the_fit(study_file, folder):
    # The second refit is the long one: it is met in its middle.
    study_file.write_text(study_file.read_text().replace("max_evaluations: 40}", "max_evaluations: 40}, {algorithm: crs2, tolerance: 0, max_evaluations: 400}").replace("solver:", "threads: 1\nsolver:"))
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_REFITS], text=True, capture_output=True, timeout=120, env=os.environ, check=False)
    assert done.stdout == "True True\n", done.stderr
    assert "interrupted: the search was over, but what runs outside the fit miss is not known" in done.stderr
    assert (folder / "run/tuned.json").exists()


def test_an_exception_of_the_callback_ends_the_fit(long_study):
    def progress(now):
        seen.append(now)
        raise Enough

    seen = []
    with pytest.raises(Enough):
        long_study.fit(progress=progress)
    (now,) = seen
    assert set(now) == {"evaluations", "most_evaluations", "objective", "seconds", "held_out_percent"}
    assert 0 < now["evaluations"] < now["most_evaluations"] == 1000000


def test_other_threads_and_signal_handlers_run_while_a_fit_does(long_study):
    def alarm(*_):
        raise Enough

    def count():
        while not is_over.wait(0.001):
            counted.append(1)

    counted = []
    is_over = threading.Event()
    thread = threading.Thread(target=count)
    thread.start()
    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Enough):
            long_study.fit()
    finally:
        signal.signal(signal.SIGALRM, before)
        is_over.set()
        thread.join()
    assert len(counted) > 10


def test_a_study_says_what_it_resolves_to(study):
    resolved = study.to_dict()
    assert resolved["schema"] == "rooftune/resolved/1"
    assert study.name == "small"
    assert study.start.step_time_model == "physics"
    assert study.to_csv().count("\n") == 3
