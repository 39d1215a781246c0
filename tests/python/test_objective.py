"""The objective of a study as a function, under solvers of others."""

import threading

import numpy
import pytest
import rooftune

SPACES = ["natural", "transformed"]


@pytest.mark.parametrize("space", SPACES)
def test_its_cost_is_what_a_fit_makes_small(study, space):
    fit = study.fit()
    objective = study.objective(space)
    assert objective.cost(objective.start) == pytest.approx(fit.objective_before, rel=1e-12)
    assert objective.cost(objective.point(fit.parameters)) == pytest.approx(fit.objective_after, rel=1e-9)


@pytest.fixture
def smooth_study(study_file):
    """E2E alone: TTFT jumps where a request just misses a step."""
    study_file.write_text(study_file.read_text() + "objective: {metrics: [e2e_mean_ms]}\n")
    return rooftune.open_study("study.yaml")


@pytest.mark.parametrize("space", SPACES)
def test_the_jacobian_is_that_of_the_residuals(smooth_study, space):
    objective = smooth_study.objective(space)
    x = objective.start
    jacobian = objective.jacobian(x)
    assert jacobian.shape == (len(objective.residuals(x)), len(x)) == (len(objective.rows), len(objective.names))
    for column in range(len(x)):
        # Steps that average over the events of a discrete simulation.
        step = 0.03 * abs(x[column])
        ahead, behind = x.copy(), x.copy()
        ahead[column] += step
        behind[column] -= step
        differences = (objective.residuals(ahead) - objective.residuals(behind)) / (2 * step)
        assert jacobian[:, column] == pytest.approx(differences, rel=0.03, abs=1e-12), objective.names[column]


@pytest.mark.parametrize("space", SPACES)
def test_residuals_and_jacobian_come_together(study, space):
    objective = study.objective(space)
    residuals, jacobian = objective.residuals_and_jacobian(objective.start)
    # With derivatives the arithmetic is another.
    assert residuals == pytest.approx(objective.residuals(objective.start), rel=1e-9)
    assert jacobian.tolist() == objective.jacobian(objective.start).tolist()


def test_parameters_are_described(study):
    objective = study.objective()
    assert objective.names == ["frontend.constant_us", "physics.t_layer_us", "physics.weight_bandwidth_fraction"]
    assert objective.units[:2] == ["us", "us"] and set(objective.transforms) <= {"linear", "log", "logit"}
    assert (objective.lower < objective.start).all() and (objective.start < objective.upper).all()
    assert objective.rows[0]["metric"] in ("ttft_mean_ms", "e2e_mean_ms") and objective.rows[-1]["prior"] == objective.names[-1]
    assert objective.values(objective.start) == pytest.approx(dict(zip(objective.names, objective.start)))
    assert study.objective("transformed").values(study.objective("transformed").start) == pytest.approx(
        objective.values(objective.start))


def test_a_parameter_may_lie_at_its_very_bounds(study_file):
    study_file.write_text(study_file.read_text().replace("{id: physics.weight_bandwidth_fraction,", "{id: physics.weight_bandwidth_fraction, transform: logit,"))
    study = rooftune.open_study("study.yaml")
    objective = study.objective("transformed")
    logit = objective.names.index("physics.weight_bandwidth_fraction")
    assert objective.transforms[logit] == "logit"
    natural = study.objective()
    for bound in (natural.lower, natural.upper):
        values = dict(zip(natural.names, natural.start))
        values[natural.names[logit]] = bound[logit]
        assert numpy.isfinite(objective.point(values)).all()
        assert objective.values(objective.point(values)) == pytest.approx(natural.values(natural.point(values)))
        assert objective.cost(objective.point(values)) == pytest.approx(natural.cost(natural.point(values)))


def test_a_point_becomes_a_config(study):
    objective = study.objective()
    x = objective.start
    x[1] *= 1.1
    assert objective.config(x).parameters["physics.t_layer_us"] == pytest.approx(x[1])


def test_wrong_points_are_refused(study):
    objective = study.objective()
    with pytest.raises(rooftune.Error, match="not a vector of 3 numbers"):
        objective.residuals(objective.start[:2])
    x = objective.start
    x[0] = numpy.nan
    with pytest.raises(rooftune.Refused, match="frontend.constant_us is not a finite number"):
        objective.residuals(x)
    assert objective.cost(x) == numpy.inf
    with pytest.raises(rooftune.Error, match="unknown space 'log'"):
        study.objective("log")


def test_threads_may_share_it(study):
    objective = study.objective()
    points = [objective.start * factor for factor in (0.9, 1.0, 1.1, 1.2)]
    wanted = [objective.residuals(x).tolist() for x in points]
    found = [None] * len(points)

    def evaluate(i):
        found[i] = objective.residuals(points[i]).tolist()

    threads = [threading.Thread(target=evaluate, args=(i,)) for i in range(len(points))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted


def assert_same_optimum(fit, cost, values):
    assert cost == pytest.approx(fit.objective_after, rel=1e-3)
    errors = {one["parameter"]: one["standard_error"] for one in fit.to_dict()["parameters"]}
    for name, value in values.items():
        assert abs(value - fit.parameters[name]) < 0.1 * errors[name], name


def test_scipy_reaches_the_optimum_of_fit(smooth_study):
    optimize = pytest.importorskip("scipy.optimize")
    objective = smooth_study.objective("transformed")
    found = optimize.least_squares(objective.residuals, objective.start, jac=objective.jacobian,
                                   bounds=(objective.lower, objective.upper), xtol=1e-10, ftol=1e-10)
    assert_same_optimum(smooth_study.fit(), 2 * found.cost, objective.values(found.x))


def test_lmfit_reaches_the_optimum_of_fit(smooth_study):
    lmfit = pytest.importorskip("lmfit")
    objective = smooth_study.objective("transformed")
    parameters = lmfit.Parameters()
    for i, start in enumerate(objective.start):
        parameters.add(f"p{i}", value=start, min=objective.lower[i], max=objective.upper[i])

    def point(given):
        return [given[f"p{i}"].value for i in range(len(objective.names))]

    found = lmfit.minimize(lambda given: objective.residuals(point(given)), parameters, method="least_squares",
                           jac=lambda x, **_: objective.jacobian(x), xtol=1e-10, ftol=1e-10)
    assert_same_optimum(smooth_study.fit(), found.chisqr, objective.values(point(found.params)))


def test_percentiles_have_no_derivatives(study_file):
    study_file.write_text(study_file.read_text() + "objective: {metrics: [ttft_p99_ms, e2e_mean_ms]}\n")
    objective = rooftune.open_study("study.yaml").objective()
    assert not objective.differentiable
    assert len(objective.residuals(objective.start)) == len(objective.rows)
    with pytest.raises(rooftune.Error, match="no derivatives"):
        objective.jacobian(objective.start)
