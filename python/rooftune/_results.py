"""Results as plain objects. Each is what its command writes: to_dict() is the JSON, to_frame() the table."""

import io
import json
import pathlib

from . import _html


def _pandas():
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_frame() needs pandas (Debian: python3-pandas); to_dict() and to_csv() do without") from error
    return pandas


class _Result:
    """What a command prints with --json."""

    def __init__(self, core):
        self._core = core
        self._dict = None

    def to_json(self):
        """The text that the command prints with --json, or writes as result.json."""
        return self._core.to_json()

    def to_dict(self):
        """The same as Python values."""
        return json.loads(self.to_json())

    def _known(self):
        if self._dict is None:
            self._dict = self.to_dict()
        return self._dict

    def __repr__(self):
        return f"<rooftune.{type(self).__name__}>"


class _Table(_Result):
    """A result whose main table is what the command writes with --csv."""

    def to_csv(self):
        """The text that the command writes with --csv."""
        return self._core.to_csv()

    def to_frame(self):
        """The same as a pandas DataFrame."""
        return _pandas().read_csv(io.StringIO(self.to_csv()), float_precision="round_trip", keep_default_na=False, na_values=[""])


class Config(_Result):
    """Values of parameters and switches of a step-time model, with where they come from (schema rooftune/config/1)."""

    @property
    def step_time_model(self):
        return self._core.step_time_model

    @property
    def parameters(self):
        """Shared values by parameter id, in the parameter's unit (`rooftune params`). Values of one GPU or model alone: to_dict()."""
        return self._core.parameters

    def save(self, path):
        """Writes it where commands and load_config() read it."""
        self._core.save(pathlib.Path(path))

    def __eq__(self, other):
        return self._core == other._core if isinstance(other, Config) else NotImplemented

    __hash__ = None

    def __repr__(self):
        return f"<rooftune.Config {self.step_time_model}, {len(self.parameters)} parameters>"


class Evaluation(_Table):
    """Predicted beside measured latencies (schema rooftune/evaluation/1).

    A row for each experiment, stage and metric: first the summary of an experiment (stage -1), then its stages.
    """

    @property
    def predicted_ms(self):
        """Predicted latency of every row: shape (rows,), ms. A view of the result's memory."""
        return self._core.predicted_ms

    @property
    def measured_ms(self):
        """Measured latency of every row: shape (rows,), ms. A view of the result's memory."""
        return self._core.measured_ms

    @property
    def stages(self):
        """Stage of every row, -1 for the summary of all: shape (rows,). A view of the result's memory."""
        return self._core.stages

    @property
    def experiments(self):
        """Id of every row's experiment."""
        return self._core.experiments

    @property
    def metrics(self):
        """Name of every row's metric: "ttft_mean_ms" ..."""
        return self._core.metrics

    @property
    def error_percent(self):
        """100 (predicted / measured - 1) of every row: shape (rows,), percent."""
        return 100.0 * (self.predicted_ms / self.measured_ms - 1.0)

    @property
    def loss_percent(self):
        """RMSE over experiments of |error| of the mean TTFT, plus that of the mean E2E, percent."""
        return self._core.loss_percent

    @property
    def warnings(self):
        return self._core.warnings

    def __repr__(self):
        experiments = len(set(self.experiments))
        return f"<rooftune.Evaluation {experiments} experiments, loss {self.loss_percent:.2f} %>"

    def _repr_html_(self):
        return _html.evaluation(self._known())


class Fit(_Result):
    """The outcome of a calibration (schema rooftune/fit/1)."""

    @property
    def tuned(self):
        """The config that was fitted, as a run folder holds it."""
        return Config(self._core.tuned)

    @property
    def parameters(self):
        """Fitted values by the parameter's label, in its unit."""
        return {entry["parameter"]: entry["value"] for entry in self._known()["parameters"]}

    @property
    def before(self):
        """What the start config predicts for the fitted experiments."""
        return Evaluation(self._core.before)

    @property
    def after(self):
        """What the tuned config predicts for them."""
        return Evaluation(self._core.after)

    @property
    def held_out(self):
        """What it predicts for those that the study keeps from the fit; None without any."""
        return None if self._core.held_out is None else Evaluation(self._core.held_out)

    @property
    def interrupted(self):
        """Whether Ctrl-C ended it: it is the best so far then; a warning said what it lacks."""
        return self._core.interrupted

    @property
    def objective_before(self):
        """What the fit makes small, at its start: Objective.cost() there."""
        return self._core.objective_before

    @property
    def objective_after(self):
        """The same at the tuned config."""
        return self._core.objective_after

    @property
    def seconds(self):
        return self._core.seconds

    @property
    def folder(self):
        """The run folder, or None."""
        return self._core.folder

    def to_frame(self):
        """The parameters as a pandas DataFrame: value, standard error, bounds and verdict, in each parameter's unit."""
        return _pandas().DataFrame(self._known()["parameters"]).set_index("parameter")

    def __repr__(self):
        return (f"<rooftune.Fit {len(self.parameters)} parameters, loss {self.before.loss_percent:.2f} % -> "
                f"{self.after.loss_percent:.2f} %{', interrupted' if self.interrupted else ''}>")

    def _repr_html_(self):
        return _html.fit(self._known(), self.before.loss_percent, self.after.loss_percent, self.interrupted)


class CrossValidation(_Result):
    """Refits without each part of the data, scored on that part (schema rooftune/crossval/1)."""

    @property
    def pooled(self):
        """The held-out rows of all folds together: the error to expect on runs never seen."""
        return Evaluation(self._core.pooled)

    @property
    def folder(self):
        return self._core.folder

    def to_frame(self):
        """A row for each fold: its objective and parameters, and its held-out loss in percent."""
        folds = [{"fold": fold["fold"], "objective": fold["objective"],
                  "held_out_loss_percent": fold["held_out"]["loss_percent"] if fold["held_out"] else None, **fold["parameters"]}
                 for fold in self._known()["folds"]]
        return _pandas().DataFrame(folds).set_index("fold")

    def __repr__(self):
        return f"<rooftune.CrossValidation {len(self._known()['folds'])} folds, held-out loss {self.pooled.loss_percent:.2f} %>"


class Onboarding(_Table):
    """A config carried to a new GPU (schema rooftune/onboard/1)."""

    @property
    def tuned(self):
        return Config(self._core.tuned)

    @property
    def folder(self):
        return self._core.folder


class Simulation(_Table):
    """One load on one config (schema rooftune/simulation/1), or several (rooftune/sweep/1). Latencies in ms."""

    @property
    def shipped_config(self):
        """Name of the config that was found for the GPU; None where one was given."""
        return self._core.shipped_config


class Capacity(_Table):
    """What deployments carry under latency objectives (schema rooftune/capacity/1). Latencies in ms."""

    @property
    def shipped_config(self):
        return self._core.shipped_config


class GroundTruth:
    """Measured experiments, checked."""

    def __init__(self, core, paths):
        self._core = core
        self._paths = paths

    @property
    def experiments(self):
        """Their ids."""
        return self._core.experiments

    def __len__(self):
        return len(self._core)

    def to_dict(self):
        """The experiments as their files have them (ground_truth/ground_truth.schema.json)."""
        return [experiment for path in self._paths for experiment in json.loads(path.read_text(encoding="utf-8"))]

    def rows(self):
        """A dict for each experiment, stage and metric that was measured; latencies in ms."""
        return self._core.rows()

    def to_frame(self):
        """The same as a pandas DataFrame."""
        return _pandas().DataFrame(self.rows())

    def __repr__(self):
        return f"<rooftune.GroundTruth {len(self)} experiments>"
