"""Simulating and planning, as the commands do."""

import json

import pytest
import rooftune
from conftest import run_program

LOAD = {"model": "Llama-2-7b-hf", "prompt_tokens": 600, "output_tokens": 100}
WORDS = ["--model", "Llama-2-7b-hf", "--prompt-tokens", 600, "--output-tokens", 100]


def test_simulate_is_the_command(folder):
    ours = rooftune.simulate(**LOAD, config="h100", rate=4, duration=20)
    assert ours.to_dict() == json.loads(run_program("simulate", *WORDS, "--config", "h100", "--rate", 4, "--duration", 20, "--json"))


def test_a_measured_experiment_is_simulated(folder, source):
    truth = source / "ground_truth/h100.json"
    ours = rooftune.simulate(ground_truth=truth, select={"id": 64}, config="h100")
    theirs = run_program("simulate", "--ground-truth", truth, "--select", "id=64", "--config", "h100", "--json")
    assert ours.to_dict() == json.loads(theirs)


def test_rates_make_a_sweep(folder):
    ours = rooftune.simulate(**LOAD, config="h100", rates=[1, 2.5], duration=20)
    theirs = run_program("simulate", *WORDS, "--config", "h100", "--rates", "1,2.5", "--duration", 20, "--json")
    assert ours.to_dict() == json.loads(theirs)
    assert ours.to_csv().count("\n") == 3


def test_capacity_is_the_command(folder):
    seen = []
    ours = rooftune.capacity(**LOAD, tp=[1], objective={"ttft_p90": 500, "tpot_mean": 40}, load=20, replicates=1, duration=10,
                             progress=seen.append)
    theirs = run_program("capacity", *WORDS, "--tp", 1, "--objective", "ttft_p90=500", "--objective", "tpot_mean=40", "--load", 20,
                         "--replicates", 1, "--duration", 10, "--json")
    assert ours.to_dict() == json.loads(theirs)
    assert ours.shipped_config and seen == [{"deployment": "Llama-2-7b-hf at TP 1"}]


def test_switches_are_said_as_python_says_them(folder):
    off = rooftune.simulate(**LOAD, config="h100", duration=10, prefix_caching=False, shared_prefix_tokens=500)
    on = rooftune.simulate(**LOAD, config="h100", duration=10, prefix_caching=True, shared_prefix_tokens=500)
    assert off.to_dict() != on.to_dict()


def test_what_is_wrong_is_said(folder):
    with pytest.raises(TypeError, match="simulate\\(\\) has no keyword 'promt_tokens' \\(did you mean 'prompt_tokens'\\?\\)"):
        rooftune.simulate(model="Llama-2-7b-hf", promt_tokens=3)
    with pytest.raises(rooftune.Error, match="--rate: 0 is out of range"):
        rooftune.simulate(**LOAD, rate=0)
    with pytest.raises(rooftune.Error, match="nothing to simulate"):
        rooftune.simulate()
    with pytest.raises(rooftune.Error, match="no model is named"):
        rooftune.capacity()
    with pytest.raises(rooftune.Error, match="ttft_p91"):
        rooftune.capacity(**LOAD, objective={"ttft_p91": 500})
