"""Batches in, microseconds out."""

import csv

import numpy
import pytest
import rooftune
from conftest import run_program


@pytest.fixture(params=["h100.physics", "h100.roofline_v1", "h100.serving"])
def step_time(request, folder):
    return rooftune.step_time(model="Llama-2-7b-hf", tp=1, config=request.param)


def test_arrays_are_steps_by_themselves(step_time):
    requests = numpy.array([[1, 8], [64, 128]])
    contexts = requests * 600
    together = step_time(requests, contexts)
    assert together.shape == (2, 2)
    alone = [[step_time(int(n), int(c)) for n, c in zip(*rows)] for rows in zip(requests, contexts)]
    assert together.tolist() == alone
    assert step_time(requests, 600 * 128, 256)[0, 0] > together[0, 0]


def test_equal_contexts_are_what_a_sum_means(step_time):
    assert step_time(8, 8 * 600) == step_time.one_step([600] * 8)
    assert step_time(8, 8 * 600, 256, 128) == step_time.one_step([600] * 8, [(128, 256)])


def test_a_breakdown_has_the_duration(step_time):
    parts = step_time.breakdown([600] * 8, [(0, 256), (64, 32)])
    assert parts["total_us"] == pytest.approx(step_time.one_step([600] * 8, [(0, 256), (64, 32)]), rel=1e-12)
    assert parts["terms_us"] and isinstance(parts["bound"], str)


def test_it_is_the_step_time_of_the_simulation(folder):
    run_program("simulate", "--model", "Llama-2-7b-hf", "--config", "h100.physics", "--rate", 4, "--duration", 10, "--trace", "steps.csv")
    with open("steps.csv", newline="") as file:
        steps = [row for row in csv.DictReader(file) if row["prefill_tokens"] == "0"]
    step_time = rooftune.step_time(model="Llama-2-7b-hf", config="h100.physics")
    predicted = step_time(numpy.array([int(row["decode_requests"]) for row in steps]),
                          numpy.array([int(row["decode_context_tokens"]) for row in steps]))
    assert len(steps) > 100
    assert numpy.allclose(predicted, [float(row["duration_us"]) for row in steps], rtol=0, atol=1e-3)  # three digits


@pytest.mark.parametrize("batch", [(0, 0), (-1, 0), (0, 5), (1, -1), (1, 1, -1), (1, 1, 0, 5), (10**9, 1)])
def test_batches_that_cannot_be_are_refused(step_time, batch):
    with pytest.raises(rooftune.Error, match="batch|prefill|decode"):
        step_time(*batch)


def test_fractions_are_no_counts(step_time):
    with pytest.raises(TypeError, match="decode_requests is not made of whole numbers"):
        step_time(1.5, 100)


def test_a_deployment_that_cannot_be_is_refused(folder):
    with pytest.raises(rooftune.Error, match="no-such-model"):
        rooftune.step_time(model="no-such-model")
    with pytest.raises(rooftune.Error, match="--tp: 0 is out of range"):
        rooftune.step_time(model="Llama-2-7b-hf", tp=0)
    assert rooftune.step_time(model="Llama-2-7b-hf").step_time_model


def test_a_config_in_memory_predicts(study):
    fit = study.fit()
    ours = rooftune.step_time(model="Llama-2-7b-hf", config=fit.tuned)
    fit.tuned.save("tuned.json")
    assert ours(8, 4800) == rooftune.step_time(model="Llama-2-7b-hf", config="tuned.json")(8, 4800)
