"""What the commands do, as functions. Keywords are the commands' options, read by the program's own parser."""

import atexit
import collections
import difflib
import functools
import hashlib
import inspect
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy

from . import _core
from ._results import Capacity, Config, CrossValidation, Evaluation, Fit, GroundTruth, Onboarding, Simulation

_Keyword = collections.namedtuple("_Keyword", ["name", "meaning", "is_flag", "is_joined"])
# Options that may be given several times.
_SEVERAL = {"ground_truth", "select", "models", "hardware", "objective", "like"}


@functools.lru_cache(maxsize=None)
def _keywords(function):
    return {entry[0]: _Keyword(*entry) for entry in _core.described_options(function)}


def _text(value):
    """As a command line has it."""
    if isinstance(value, (bool, numpy.bool_)):
        return "on" if value else "off"
    if isinstance(value, (float, numpy.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _texts(value):
    if isinstance(value, dict):
        return [f"{key}={_text(one)}" for key, of_key in value.items()
                for one in (of_key if isinstance(of_key, (list, tuple)) else [of_key])]
    if isinstance(value, (list, tuple, set, numpy.ndarray)):
        return [_text(one) for one in value]
    return [_text(value)]


@functools.lru_cache(maxsize=1)
def _scratch():
    folder = tempfile.mkdtemp(prefix="rooftune-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder)


def _file_of(config):
    """A config that lies in memory, where readers find it until the interpreter ends."""
    text = config.to_json()
    path = _scratch() / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    return path


def _words(function, options, takes_configs=True):
    known = _keywords(function)
    words = []
    for name, value in options.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise TypeError(f"{function}() has no keyword '{name}'" + (f" (did you mean '{close[0]}'?)" if close else ""))
        if value is None:
            continue
        keyword = known[name]
        flag = "--" + name.replace("_", "-")
        if keyword.is_flag:
            words += [flag] if value else []
            continue
        if isinstance(value, Config):
            if not takes_configs:
                raise TypeError(f"{function}() keeps the name of its config: save() it first, and give the path")
            value = _file_of(value)
        texts = _texts(value)
        if keyword.is_joined:
            texts = [",".join(texts)]
        elif len(texts) > 1 and name not in _SEVERAL:
            raise TypeError(f"{function}() takes one value as '{name}'")
        for text in texts:
            words += [f"{flag}={text}"]
    return words


def _described(function, own=()):
    """Gives a function of keywords its signature and the meaning of each, from the program's help."""
    def decorate(body):
        known = [keyword for keyword in _keywords(function).values() if keyword.name not in own]
        given = [parameter for parameter in inspect.signature(body).parameters.values() if parameter.kind != inspect.Parameter.VAR_KEYWORD]
        body.__signature__ = inspect.Signature(
            given + [inspect.Parameter(keyword.name, inspect.Parameter.KEYWORD_ONLY, default=None) for keyword in known])
        body.__doc__ = inspect.cleandoc(body.__doc__) + "\n\nKeywords, as the command's options:\n" + "\n".join(
            f"    {keyword.name}: {keyword.meaning}" for keyword in known)
        return body
    return decorate


class Study:
    """A study with everything that it names read and checked. Nothing has been computed yet."""

    def __init__(self, core):
        self._core = core

    @property
    def path(self):
        return self._core.path

    @property
    def name(self):
        return self._core.name

    @property
    def start(self):
        """The config that a fit starts from."""
        return Config(self._core.start)

    def to_dict(self):
        """What it resolves to (schema rooftune/resolved/1): experiments, models, GPUs, free parameters, warnings."""
        return json.loads(self._core.to_json())

    def to_csv(self):
        """A row for each experiment."""
        return self._core.to_csv()

    def fit(self, out=None, *, resume=False, store=None, replay=None, held_out=False, profile=(), bootstrap=None,
            hardware_config=False, progress=None):
        """Calibrates the free parameters, as `rooftune fit` does. Ctrl-C ends it with the best so far (Fit.interrupted).

        out: run folder to write; without it nothing is written
        resume, store, replay: as the command's options of these names
        held_out: refits without each part of the study's split as well, and puts into the config what runs outside the fit miss
        profile: labels of free parameters whose profile likelihood is traced
        bootstrap: refits so often on experiments drawn with replacement
        hardware_config: writes the Go family's form of the tuned values as well
        progress: called with a dict (evaluations, most_evaluations, objective, seconds, held_out_percent) up to 20 times a second;
            while held_out refits, finished and total, of those refits, are in it as well
        """
        return Fit(self._core.fit(out=out, resume=resume, store=store, replay=replay, held_out=held_out, profile=list(profile),
                                  bootstrap=bootstrap, hardware_config=hardware_config, progress=progress))

    def crossval(self, out=None, *, group=None, repeats=1, peers=None, resume=False, store=None, replay=None, progress=None):
        """Refits without each part of the data and scores on that part, as `rooftune crossval` does.

        group: what is left out in turn ("model", "tp", "workload" ...), in place of what the study says
        progress: called with a dict (finished, total) of folds
        """
        return CrossValidation(self._core.crossval(out=out, group=group, repeats=repeats, peers=peers, resume=resume, store=store,
                                                   replay=replay, progress=progress))

    def evaluate(self, *, config=None, peers=None, warm_up_requests=0, assumptions=True):
        """Predicts the study's experiments with its start, or with another config: a name, a path, or a Config.

        assumptions: also says which settings that nobody recorded move a prediction, which simulates again for each of them
        """
        if config is not None:
            words = [word for word in self._core.words if not word.startswith("--config=")]
            path = _file_of(config) if isinstance(config, Config) else config
            return Study(_core.open_study(self.path, words + [f"--config={_text(path)}"], False)).evaluate(
                peers=peers, warm_up_requests=warm_up_requests, assumptions=assumptions)
        return Evaluation(self._core.evaluate(peers=peers, warm_up_requests=warm_up_requests, assumptions=assumptions))

    def onboard(self, out=None, *, resume=False, store=None, replay=None, progress=None):
        """Carries the study's start config to a new GPU, as `rooftune onboard` does; progress gets a dict (step)."""
        return Onboarding(self._core.onboard(out=out, resume=resume, store=store, replay=replay, progress=progress))

    def objective(self, space="natural"):
        """Residuals and Jacobian as functions of the free parameters (Objective), in their own units, or with space="transformed" in
        the space in which rooftune's solvers work: there steps of one size mean as much for every parameter, and priors are normal.
        """
        return _core.objective(self._core, space)

    def __repr__(self):
        return f"<rooftune.Study {self.name or self.path}>"


@_described("open_study")
def open_study(path, **options):
    """Reads a study and all that it names. Raises Error with all that is wrong, each with file, line and column."""
    return Study(_core.open_study(os.fspath(path), _words("open_study", options, takes_configs=False), False))


@_described("open_study")
def evaluate(study=None, *, peers=None, warm_up_requests=0, assumptions=True, **options):
    """Predicts measured experiments (of a study, or of `ground_truth`) and says how wrong that is, as `rooftune evaluate` does.
    Without a config, the one that ships for the GPU predicts. `config` may be a Config.
    """
    core = _core.open_study(None if study is None else os.fspath(study), _words("open_study", options), True)
    return Study(core).evaluate(peers=peers, warm_up_requests=warm_up_requests, assumptions=assumptions)


@_described("open_study")
def onboard(study, out=None, *, resume=False, store=None, replay=None, progress=None, **options):
    """Carries a config to a new GPU by data sheet, kernel tables and runs, as `rooftune onboard` does for one study."""
    return open_study(study, **options).onboard(out, resume=resume, store=store, replay=replay, progress=progress)


@_described("simulate")
def simulate(study=None, **options):
    """Simulates one load on one config, or a sweep of rates or clients: a measured experiment, or a workload by keywords.

    >>> rooftune.simulate(model="Llama-2-7b-hf", rate=4, duration=120, prompt_tokens=600, output_tokens=250)
    """
    return Simulation(_core.simulate(None if study is None else os.fspath(study), _words("simulate", options)))


@_described("capacity")
def capacity(*, progress=None, **options):
    """Finds the highest rate under latency objectives, and GPUs for a load. `objective` may be a dict of limits in ms.

    >>> rooftune.capacity(model="Llama-3.1-70B-Instruct", tp=[4, 8], objective={"ttft_p90": 500, "tpot_mean": 40}, load=20)
    """
    return Capacity(_core.capacity(_words("capacity", options), progress))


class StepTime:
    """The step-time model of a config, made ready for one deployment: batches in, microseconds out."""

    def __init__(self, core):
        self._core = core

    def __call__(self, decode_requests=0, decode_context_tokens=0, prefill_new_tokens=0, prefill_context_tokens=0):
        """Duration of engine steps in microseconds. Numbers or arrays of one shape (broadcast); element i of each is a step:

        decode_requests: requests that generate a token in the step
        decode_context_tokens: tokens in the KV cache of all of them together; where the model asks for each, they are taken as equal
        prefill_new_tokens: prompt tokens that the step computes, of one request; 0: none
        prefill_context_tokens: tokens of that request that are in the KV cache already

        Several prefills in one step, or unequal contexts: one_step().
        """
        given = (decode_requests, decode_context_tokens, prefill_new_tokens, prefill_context_tokens)
        arrays = []
        for name, value in zip(("decode_requests", "decode_context_tokens", "prefill_new_tokens", "prefill_context_tokens"), given):
            array = numpy.asarray(value)
            if array.dtype.kind not in "iu":
                raise TypeError(f"{name} is not made of whole numbers")
            arrays.append(array.astype(numpy.int64, copy=False))
        result = self._core.steps(*numpy.broadcast_arrays(*arrays))
        return float(result) if result.ndim == 0 else result

    def one_step(self, decode_contexts=(), prefills=()):
        """Duration of one step in microseconds: the context of every decoding request in tokens, and (context, new tokens) of every
        prefill."""
        return self._core.one_step(list(decode_contexts), list(prefills))

    def breakdown(self, decode_contexts=(), prefills=()):
        """Where the time of such a step goes: a dict of total_us, terms_us by name (they need not add up where the model takes maxima)
        and bound, the resource that rules."""
        return self._core.breakdown(list(decode_contexts), list(prefills))

    @property
    def step_time_model(self):
        return self._core.step_time_model

    @property
    def model(self):
        return self._core.model

    @property
    def gpu(self):
        return self._core.gpu

    @property
    def tp(self):
        return self._core.tp

    def __repr__(self):
        return f"<rooftune.StepTime {self.step_time_model}: {self.model} on {self.gpu}, TP {self.tp}>"


@_described("step_time")
def step_time(**options):
    """The step time of a deployment as a function (StepTime). `config` may be a Config.

    >>> rooftune.step_time(model="Llama-2-7b-hf", tp=1)(decode_requests=8, decode_context_tokens=4800)
    """
    return StepTime(_core.step_time(_words("step_time", options)))


def load_config(config, *, hardware=()):
    """A config by the name of a shipped one ("h100") or a path, of either form. `hardware`: files of GPUs beside the shipped ones."""
    paths = [hardware] if isinstance(hardware, (str, os.PathLike)) else hardware
    return Config(_core.load_config(os.fspath(config), [pathlib.Path(path) for path in paths]))


def read_ground_truth(*paths):
    """Measured experiments of one file or several (ground_truth/ground_truth.schema.json), checked."""
    files = [pathlib.Path(path) for path in paths]
    return GroundTruth(_core.read_ground_truth(files), files)


def data_directory():
    """The folder of what ships: configs, ground truth, studies, kernel tables."""
    return _core.data_directory()


def program():
    """The path of the program: the wheel's own, that of the build, or the one on the PATH."""
    bundled = pathlib.Path(__file__).parent / "installed" / "bin" / "rooftune"
    built = pathlib.Path(_core.__file__).parents[2] / "bin" / "rooftune"
    for candidate in (bundled, built):
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return str(candidate)
    found = shutil.which("rooftune")
    if found is None:
        raise _core.Error("error: the program rooftune was not found (install the package rooftune)")
    return found


def command(*words, cwd=None):
    """Runs the program with these words (`command("init", "results")`) and returns what it prints. Raises Error with its messages
    where it does not end well; what it warns of goes to standard error.
    """
    done = subprocess.run([program(), *map(_text, words)], cwd=cwd, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise _core.Error(done.stderr.strip() or done.stdout.strip())
    sys.stderr.write(done.stderr)
    return done.stdout
