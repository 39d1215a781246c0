"""What calls from Python cost: lines "name value unit", as the other benchmarks print."""

import time

import numpy
import rooftune


def best_of(runs, body):
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    count = 200_000
    random = numpy.random.default_rng(1)
    requests = random.integers(1, 257, count)
    contexts = requests * random.integers(1, 4001, count)
    for config in ("h100.physics", "h100.roofline_v1"):
        step_time = rooftune.step_time(model="Llama-2-7b-hf", config=config)
        seconds = best_of(5, lambda: step_time(requests, contexts))
        print(f"python/steps/{config} {count / seconds:.6g} 1/s")
    seconds = best_of(5, lambda: [step_time(8, 4800) for _ in range(1000)])
    print(f"python/one_step {1e9 * seconds / 1000:.6g} ns")
    study = rooftune.open_study(rooftune.data_directory() / "experiments/quickstart.yaml", threads=1)
    objective = study.objective("transformed")
    print(f"python/residuals {1e3 * best_of(5, lambda: objective.residuals(objective.start)):.6g} ms")
    print(f"python/residuals_and_jacobian {1e3 * best_of(5, lambda: objective.residuals_and_jacobian(objective.start)):.6g} ms")


if __name__ == "__main__":
    main()
