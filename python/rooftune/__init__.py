"""rooftune calibrates roofline models of LLM serving against measured benchmarks, and says how wrong the result is.

    import rooftune
    fit = rooftune.open_study("study.yaml").fit()
    fit.to_frame()                      # parameters with their errors
    fit.tuned.save("tuned.json")

Functions read and write what the program's commands do; their keywords are the commands' options, with '_' for '-'. What is wrong
with a file raises rooftune.Error, whose text names file, line and column. Latencies are in milliseconds, step times in microseconds.
"""

import os as _os
import pathlib as _pathlib

# A wheel brings data and program along.
_bundled = _pathlib.Path(__file__).parent / "installed"
if (_bundled / "share" / "rooftune").is_dir():
    _os.environ.setdefault("ROOFTUNE_DATA_DIR", str(_bundled / "share" / "rooftune"))

from ._core import Error, Objective, Refused, Warning, __version__  # noqa: E402
from ._results import (Capacity, Config, CrossValidation, Evaluation, Fit, GroundTruth, Onboarding, Simulation)  # noqa: E402
from ._study import (StepTime, Study, capacity, command, data_directory, evaluate, load_config, onboard, open_study,  # noqa: E402
                     program, read_ground_truth, simulate, step_time)

__all__ = [
    "Capacity", "Config", "CrossValidation", "Error", "Evaluation", "Fit", "GroundTruth", "Objective", "Onboarding", "Refused",
    "Simulation", "StepTime", "Study", "Warning", "__version__", "capacity", "command", "data_directory", "evaluate", "load_config",
    "onboard", "open_study", "program", "read_ground_truth", "simulate", "step_time",
]
