"""Functional forms for kernel times and a small robust fitter (standard library only).

Every form is a function of positive parameters; the fit minimises the mean absolute log error, which a few shapes with an
unlucky tile count cannot drag away, by Nelder-Mead in the logarithms (Nelder and Mead, Computer Journal 7, 1965).
"""

import math

import kernel_tables as kt


def pnorm(a: float, b: float, p: float) -> float:
    """(a^p + b^p)^(1/p) without overflow: 1 adds, infinity takes the larger."""
    high, low = (a, b) if a >= b else (b, a)
    return high * (1.0 + (low / high) ** p) ** (1.0 / p)


def nelder_mead(objective, start, step=0.25, iterations=2000, tolerance=1e-7):
    """Returns (value, point). Reflection 1, expansion 2, contraction and shrinkage 1/2."""
    size = len(start)
    simplex = [(objective(start), list(start))]
    for i in range(size):
        point = list(start)
        point[i] += step
        simplex.append((objective(point), point))
    for _ in range(iterations):
        simplex.sort(key=lambda entry: entry[0])
        best, worst = simplex[0], simplex[-1]
        if worst[0] - best[0] <= tolerance * abs(best[0]) + 1e-9:
            break
        centre = [sum(entry[1][i] for entry in simplex[:-1]) / size for i in range(size)]
        reflected = [2.0 * c - w for c, w in zip(centre, worst[1])]
        value = objective(reflected)
        if value < best[0]:
            expanded = [3.0 * c - 2.0 * w for c, w in zip(centre, worst[1])]
            expanded_value = objective(expanded)
            simplex[-1] = (expanded_value, expanded) if expanded_value < value else (value, reflected)
        elif value < simplex[-2][0]:
            simplex[-1] = (value, reflected)
        else:
            contracted = [0.5 * (c + w) for c, w in zip(centre, worst[1])]
            contracted_value = objective(contracted)
            if contracted_value < worst[0]:
                simplex[-1] = (contracted_value, contracted)
            else:
                shrunk = [[0.5 * (b + x) for b, x in zip(best[1], entry[1])] for entry in simplex[1:]]
                simplex = [best] + [(objective(point), point) for point in shrunk]
    return min(simplex, key=lambda entry: entry[0])


class Fit:
    """Parameters of a form, and how far its predictions are from the measurements."""

    def __init__(self, parameters, predicted, measured):
        self.parameters = parameters
        self.log_errors = [math.log(p / t) for p, t in zip(predicted, measured)]

    def ape_percent(self, q, select=None):
        chosen = self.log_errors if select is None else [e for e, s in zip(self.log_errors, select) if s]
        return kt.quantile([abs(math.expm1(e)) * 100.0 for e in chosen], q) if chosen else float("nan")

    def log_spread(self):
        """Half of the central 68 %: a standard deviation that outliers do not inflate."""
        return 0.5 * (kt.quantile(self.log_errors, 0.84) - kt.quantile(self.log_errors, 0.16))


def fit(form, samples, measured, start, upper=None):
    """`form(parameters, sample)` predicts; `start` maps names to positive values; `upper` holds optional bounds."""
    names = list(start)
    upper = {name: bound for name, bound in (upper or {}).items() if name in start}

    def parameters_of(point):
        return {name: math.exp(x) for name, x in zip(names, point)}

    def objective(point):
        # Far outside nothing is learnt, and exp overflows.
        if any(abs(x) > 30.0 for x in point):
            return 1e9
        parameters = parameters_of(point)
        excess = sum(max(0.0, math.log(parameters[name] / bound)) for name, bound in upper.items())
        total = sum(abs(math.log(form(parameters, s) / t)) for s, t in zip(samples, measured))
        return total / len(measured) + 10.0 * excess

    point = [math.log(value) for value in start.values()]
    value = math.inf
    # Nelder-Mead can collapse onto a face of its simplex; a fresh simplex at the found point notices.
    for _ in range(4):
        found, point = nelder_mead(objective, point)
        if value - found < 1e-5 * found:
            break
        value = found
    parameters = parameters_of(point)
    return Fit(parameters, [form(parameters, s) for s in samples], measured)


# GEMM forms. A sample is (m, compute_us, weights_us): rooflines of the whole product at data-sheet peaks.


def gemm_max(p, s):
    return max(s[1] / p["gemm_fraction"], s[2] / p["weight_bandwidth_fraction"])


def gemm_pnorm(p, s):
    return pnorm(s[1] / p["gemm_fraction"], s[2] / p["weight_bandwidth_fraction"], p["pnorm"])


def gemm_max_call(p, s):
    return p["call_us"] + gemm_max(p, s)


def gemm_pnorm_call(p, s):
    return p["call_us"] + gemm_pnorm(p, s)


def gemm_pnorm_saturating(p, s):
    """e_gemm(m) = e m/(m + m0): the compute term is linear in m with an intercept."""
    return pnorm(s[1] * (1.0 + p["m0"] / s[0]) / p["gemm_fraction"], s[2] / p["weight_bandwidth_fraction"], p["pnorm"])


def gemm_pnorm_saturating_call(p, s):
    return p["call_us"] + gemm_pnorm_saturating(p, s)


GEMM_START = {"gemm_fraction": 0.75, "weight_bandwidth_fraction": 0.8}
GEMM_FORMS = {
    "max": (gemm_max, GEMM_START),
    "p-norm": (gemm_pnorm, {**GEMM_START, "pnorm": 3.0}),
    "p-norm, saturating e_gemm(m)": (gemm_pnorm_saturating, {**GEMM_START, "pnorm": 3.0, "m0": 20.0}),
    "call + max": (gemm_max_call, {**GEMM_START, "call_us": 4.0}),
    "call + p-norm": (gemm_pnorm_call, {**GEMM_START, "pnorm": 3.0, "call_us": 4.0}),
    "call + p-norm, saturating e_gemm(m)": (
        gemm_pnorm_saturating_call,
        {**GEMM_START, "pnorm": 3.0, "call_us": 4.0, "m0": 20.0},
    ),
}
