import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy
import numpy.typing

_Path = str | os.PathLike[str]
_Floats = numpy.typing.NDArray[numpy.float64]
_Progress = Callable[[dict[str, Any]], object]
_Number = float | int
_Several = _Path | Sequence[_Path]
_Selection = str | Sequence[str] | dict[str, Any]

__version__: str

class Error(Exception):
    diagnostics: list[dict[str, Any]]

class Refused(Error): ...
class Warning(UserWarning): ...

class _Result:
    def to_json(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...

class _Table(_Result):
    def to_csv(self) -> str: ...
    def to_frame(self) -> Any: ...  # pandas.DataFrame

class Config(_Result):
    @property
    def step_time_model(self) -> str: ...
    @property
    def parameters(self) -> dict[str, float]: ...
    def save(self, path: _Path) -> None: ...

class Evaluation(_Table):
    @property
    def predicted_ms(self) -> _Floats: ...
    @property
    def measured_ms(self) -> _Floats: ...
    @property
    def error_percent(self) -> _Floats: ...
    @property
    def stages(self) -> numpy.typing.NDArray[numpy.int32]: ...
    @property
    def experiments(self) -> list[str]: ...
    @property
    def metrics(self) -> list[str]: ...
    @property
    def loss_percent(self) -> float: ...
    @property
    def warnings(self) -> list[str]: ...

class Fit(_Result):
    @property
    def tuned(self) -> Config: ...
    @property
    def parameters(self) -> dict[str, float]: ...
    @property
    def before(self) -> Evaluation: ...
    @property
    def after(self) -> Evaluation: ...
    @property
    def held_out(self) -> Evaluation | None: ...
    @property
    def interrupted(self) -> bool: ...
    @property
    def objective_before(self) -> float: ...
    @property
    def objective_after(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def folder(self) -> str | None: ...
    def to_frame(self) -> Any: ...  # pandas.DataFrame

class CrossValidation(_Result):
    @property
    def pooled(self) -> Evaluation: ...
    @property
    def folder(self) -> str | None: ...
    def to_frame(self) -> Any: ...  # pandas.DataFrame

class Onboarding(_Table):
    @property
    def tuned(self) -> Config: ...
    @property
    def folder(self) -> str | None: ...

class Simulation(_Table):
    @property
    def shipped_config(self) -> str | None: ...

class Capacity(_Table):
    @property
    def shipped_config(self) -> str | None: ...

class GroundTruth:
    @property
    def experiments(self) -> list[str]: ...
    def __len__(self) -> int: ...
    def to_dict(self) -> list[dict[str, Any]]: ...
    def rows(self) -> list[dict[str, Any]]: ...
    def to_frame(self) -> Any: ...  # pandas.DataFrame

class Objective:
    def residuals(self, x: numpy.typing.ArrayLike) -> _Floats: ...
    def jacobian(self, x: numpy.typing.ArrayLike) -> _Floats: ...
    def residuals_and_jacobian(self, x: numpy.typing.ArrayLike) -> tuple[_Floats, _Floats]: ...
    def cost(self, x: numpy.typing.ArrayLike) -> float: ...
    def values(self, x: numpy.typing.ArrayLike) -> dict[str, float]: ...
    def point(self, values: dict[str, float]) -> _Floats: ...
    def config(self, x: numpy.typing.ArrayLike) -> Config: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def units(self) -> list[str]: ...
    @property
    def transforms(self) -> list[str]: ...
    @property
    def start(self) -> _Floats: ...
    @property
    def lower(self) -> _Floats: ...
    @property
    def upper(self) -> _Floats: ...
    @property
    def rows(self) -> list[dict[str, Any]]: ...
    @property
    def space(self) -> str: ...
    @property
    def differentiable(self) -> bool: ...
    @property
    def loss(self) -> str: ...
    @property
    def loss_scale(self) -> float: ...
    @property
    def noise(self) -> float: ...

class StepTime:
    def __call__(
        self,
        decode_requests: numpy.typing.ArrayLike = 0,
        decode_context_tokens: numpy.typing.ArrayLike = 0,
        prefill_new_tokens: numpy.typing.ArrayLike = 0,
        prefill_context_tokens: numpy.typing.ArrayLike = 0,
    ) -> Any: ...  # float, or an array of the arguments' shape
    def one_step(self, decode_contexts: Iterable[int] = (), prefills: Iterable[tuple[int, int]] = ()) -> float: ...
    def breakdown(self, decode_contexts: Iterable[int] = (), prefills: Iterable[tuple[int, int]] = ()) -> dict[str, Any]: ...
    @property
    def step_time_model(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def gpu(self) -> str: ...
    @property
    def tp(self) -> int: ...

class Study:
    @property
    def path(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def start(self) -> Config: ...
    def to_dict(self) -> dict[str, Any]: ...
    def to_csv(self) -> str: ...
    def fit(
        self,
        out: _Path | None = None,
        *,
        resume: bool = False,
        store: _Path | None = None,
        replay: _Path | None = None,
        held_out: bool = False,
        profile: Iterable[str] = (),
        bootstrap: int | None = None,
        hardware_config: bool = False,
        progress: _Progress | None = None,
    ) -> Fit: ...
    def crossval(
        self,
        out: _Path | None = None,
        *,
        group: str | None = None,
        repeats: int = 1,
        peers: _Path | None = None,
        resume: bool = False,
        store: _Path | None = None,
        replay: _Path | None = None,
        progress: _Progress | None = None,
    ) -> CrossValidation: ...
    def evaluate(
        self,
        *,
        config: _Path | Config | None = None,
        peers: _Path | None = None,
        warm_up_requests: int = 0,
        assumptions: bool = True,
    ) -> Evaluation: ...
    def onboard(
        self,
        out: _Path | None = None,
        *,
        resume: bool = False,
        store: _Path | None = None,
        replay: _Path | None = None,
        progress: _Progress | None = None,
    ) -> Onboarding: ...
    def objective(self, space: str = "natural") -> Objective: ...

def open_study(
    path: _Path,
    *,
    config: _Path | None = None,
    step_time_model: str | None = None,
    ground_truth: _Several | None = None,
    select: _Selection | None = None,
    models: _Several | None = None,
    hardware: _Several | None = None,
    threads: int | None = None,
    seed: int | None = None,
    replicates: int | None = None,
) -> Study: ...
def evaluate(
    study: _Path | None = None,
    *,
    peers: _Path | None = None,
    warm_up_requests: int = 0,
    assumptions: bool = True,
    config: _Path | Config | None = None,
    step_time_model: str | None = None,
    ground_truth: _Several | None = None,
    select: _Selection | None = None,
    models: _Several | None = None,
    hardware: _Several | None = None,
    threads: int | None = None,
    seed: int | None = None,
    replicates: int | None = None,
) -> Evaluation: ...
def onboard(
    study: _Path,
    out: _Path | None = None,
    *,
    resume: bool = False,
    store: _Path | None = None,
    replay: _Path | None = None,
    progress: _Progress | None = None,
    config: _Path | None = None,
    step_time_model: str | None = None,
    ground_truth: _Several | None = None,
    select: _Selection | None = None,
    models: _Several | None = None,
    hardware: _Several | None = None,
    threads: int | None = None,
    seed: int | None = None,
    replicates: int | None = None,
) -> Onboarding: ...
def simulate(
    study: _Path | None = None,
    *,
    config: _Path | Config | None = None,
    step_time_model: str | None = None,
    model: str | None = None,
    gpu: str | None = None,
    prompt_tokens: _Number | None = None,
    output_tokens: _Number | None = None,
    shared_prefix_tokens: int | None = None,
    distinct_prompts: int | None = None,
    engine: str | None = None,
    engine_version: str | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    max_model_len: int | None = None,
    kv_blocks: int | None = None,
    cpu_kv_blocks: int | None = None,
    gpu_memory_utilization: _Number | None = None,
    kv_cache_dtype: str | None = None,
    async_scheduling: str | bool | None = None,
    scheduler_reserve_full_isl: str | bool | None = None,
    prefix_caching: str | bool | None = None,
    cudagraph_mode: str | None = None,
    long_prefill_token_threshold: int | None = None,
    speculation: str | None = None,
    draft_model: str | None = None,
    draft_layers: _Number | None = None,
    enable_expert_parallel: bool | None = None,
    data_parallel_size: int | None = None,
    all2all_backend: str | None = None,
    tp: int | None = None,
    pp: int | None = None,
    replicas: int | None = None,
    prefill_decode: str | None = None,
    router: str | None = None,
    rate: _Number | None = None,
    arrivals: str | None = None,
    gamma_variation: _Number | None = None,
    duration: _Number | None = None,
    num_prompts: int | None = None,
    concurrency: int | Sequence[int] | None = None,
    client_ramp: _Number | None = None,
    turnaround_us: _Number | None = None,
    num_warmups: int | None = None,
    ramp_up_strategy: str | None = None,
    ramp_up_start_rps: _Number | None = None,
    ramp_up_end_rps: _Number | None = None,
    replay: _Path | None = None,
    range_ratio: _Number | None = None,
    numpy_seed: int | None = None,
    turns: int | None = None,
    think_time: _Number | None = None,
    prompt_tokens_sd: _Number | None = None,
    prompt_tokens_min: _Number | None = None,
    prompt_tokens_max: _Number | None = None,
    output_tokens_sd: _Number | None = None,
    output_tokens_min: _Number | None = None,
    output_tokens_max: _Number | None = None,
    prompt_groups: int | None = None,
    warm_up_prompt: str | None = None,
    rates: _Number | Sequence[_Number] | None = None,
    warm_up_requests: int | None = None,
    ground_truth: _Several | None = None,
    select: _Selection | None = None,
    models: _Several | None = None,
    hardware: _Several | None = None,
    threads: int | None = None,
    seed: int | None = None,
    replicates: int | None = None,
) -> Simulation: ...
def capacity(
    *,
    progress: _Progress | None = None,
    config: _Path | Config | None = None,
    step_time_model: str | None = None,
    model: str | Sequence[str] | None = None,
    gpu: str | None = None,
    prompt_tokens: _Number | None = None,
    output_tokens: _Number | None = None,
    shared_prefix_tokens: int | None = None,
    distinct_prompts: int | None = None,
    engine: str | None = None,
    engine_version: str | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    max_model_len: int | None = None,
    kv_blocks: int | None = None,
    cpu_kv_blocks: int | None = None,
    gpu_memory_utilization: _Number | None = None,
    kv_cache_dtype: str | None = None,
    async_scheduling: str | bool | None = None,
    scheduler_reserve_full_isl: str | bool | None = None,
    prefix_caching: str | bool | None = None,
    cudagraph_mode: str | None = None,
    long_prefill_token_threshold: int | None = None,
    speculation: str | None = None,
    draft_model: str | None = None,
    draft_layers: _Number | None = None,
    enable_expert_parallel: bool | None = None,
    data_parallel_size: int | None = None,
    all2all_backend: str | None = None,
    prefill_decode: str | None = None,
    like: _Several | None = None,
    select: _Selection | None = None,
    expert_parallel: str | Sequence[str] | None = None,
    data_parallel: int | Sequence[int] | None = None,
    tp: int | Sequence[int] | None = None,
    objective: _Selection | None = None,
    load: _Number | None = None,
    rates: _Number | Sequence[_Number] | None = None,
    concurrency: int | Sequence[int] | None = None,
    tokens_per_user: _Number | None = None,
    duration: _Number | None = None,
    models: _Several | None = None,
    hardware: _Several | None = None,
    threads: int | None = None,
    seed: int | None = None,
    replicates: int | None = None,
) -> Capacity: ...
def step_time(
    *,
    config: _Path | Config | None = None,
    step_time_model: str | None = None,
    model: str | None = None,
    gpu: str | None = None,
    tp: int | None = None,
    pp: int | None = None,
    engine: str | None = None,
    engine_version: str | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    max_model_len: int | None = None,
    kv_blocks: int | None = None,
    cpu_kv_blocks: int | None = None,
    gpu_memory_utilization: _Number | None = None,
    kv_cache_dtype: str | None = None,
    async_scheduling: str | bool | None = None,
    scheduler_reserve_full_isl: str | bool | None = None,
    prefix_caching: str | bool | None = None,
    cudagraph_mode: str | None = None,
    long_prefill_token_threshold: int | None = None,
    speculation: str | None = None,
    draft_model: str | None = None,
    draft_layers: _Number | None = None,
    enable_expert_parallel: bool | None = None,
    data_parallel_size: int | None = None,
    all2all_backend: str | None = None,
    models: _Several | None = None,
    hardware: _Several | None = None,
    threads: int | None = None,
    seed: int | None = None,
    replicates: int | None = None,
) -> StepTime: ...
def load_config(config: _Path, *, hardware: _Several = ()) -> Config: ...
def read_ground_truth(*paths: _Path) -> GroundTruth: ...
def data_directory() -> os.PathLike[str]: ...
def program() -> str: ...
def command(*words: object, cwd: _Path | None = None) -> str: ...
