#!/usr/bin/env python3
"""Writes ground_truth/serving_<gpu>.json and serving_<gpu>_peers.csv: closed-loop serving points (mean TTFT and TPOT by number of clients) as experiments.

Input: NVIDIA's collection of InferenceX points (<gpu>_vllm.csv) and recipes.csv, what the benchmark's own history says of the
server and the client behind each group of points. Recipes count more than the labels of the points (model id, dp, ep,
concurrency 512). A point becomes an experiment of its own, because most servers were started anew for each number of clients;
`sweep` groups those that differ in it alone.

Lengths are the very ones that were sent: the client draws them with numpy's RandomState(0) (`numpy_seed`), uniform from 80 to
100 % of the nominal length.

Points with a flag are shown and never fitted (role overload), with the reason under `flags`. Left out, and counted in the
manifest: copies and duplicates of other rows, points of a client that nobody recorded (NVIDIA's own sweep), and points of which no
recipe is known, or several that differ.

A configuration (model, GPU, TP, lengths) is held out as a whole. Of each model on a GPU one in five is, by a hash of its name, so
that the choice depends on no figure; the script prints their sweeps, for `held_out` of a study.

What aiconfigurator predicts for the points is written where the folder has it (aiconfigurator_predictions.csv).

usage: import_serving_points.py FOLDER --gpu h100 --out ground_truth [--date YYYY-MM-DD]
"""
import collections
import csv
import hashlib
import re

import shipping

SOURCES = [
    "github.com/ai-dynamo/aiconfigurator@095f58a5:aic-core/src/aiconfigurator_core/systems/silicon_sample.csv (vLLM, aggregated)",
    "settings: github.com/SemiAnalysisAI/InferenceX, git history (commits named in recipes.csv)",
]
PEER_SOURCE = "aiconfigurator@095f58a5: predict_silicon_sample.py, run unchanged"
PEER_COLUMNS = ("experiment", "simulator", "stage", "metric", "predicted", "measured", "source")
LICENCE = "Apache-2.0 (aiconfigurator; SemiAnalysis InferenceX)"

DROPPED = {"copy", "duplicate", "unknown_client", "no_concurrency"}
FLAG_TEXTS = {
    "queue_dominated": "a queue dominates: TTFT above 5 s and above 500 times TPOT",
    "tpot_non_monotone": "TPOT above 1.25 times that of more clients",
    "tp_x_dp_gt_8": "labelled with more ranks than a node has GPUs; the recipe says one engine",
}
# Where the figures contradict a recipe: the setting is left as the model has it, and the contradiction stands under `flags`.
CONTRADICTED = {
    ("meta-llama/Llama-3.1-70B", "h100_sxm"): (
        "kv_cache_dtype",
        "the recipe sets an FP8 KV cache; pool (TTFT of 32 clients with 8192 tokens at TP 2) and reads (TPOT) are those of a 16-bit one",
    ),
    ("meta-llama/Llama-3.1-70B", "h200_sxm"): (
        "kv_cache_dtype",
        "the recipe sets an FP8 KV cache; the same flags, image and architecture gave a 16-bit one on H100s",
    ),
}
RANGE_LOW = 0.8
REQUESTS_PER_CLIENT = 10
WARM_UPS_PER_CLIENT = 2
# Of every five configurations one is held out.
HELD_OUT_SHARE = 5
CLIENTS_OF_HIDDEN_ROWS = 512


def matches(recipe, point):
    shapes = recipe["isl_osl"].split(";")
    shape = f"{point['isl']}/{point['osl']}"
    hidden = recipe["labels_in_data"] == "concurrency 512"
    return (
        recipe["max_model_len"] != ""  # else nothing is known of the server
        and recipe["model"] == point["model"]
        and recipe["gpu"] == point["gpu"]
        and recipe["precision"] == point["precision"]
        and ("*" in shapes or shape in shapes)
        and point["tp"] in recipe["tps"].split("/")
        and recipe["date_from"] <= point["measured"][:10] <= recipe["date_to"]
        and hidden == (int(point["concurrency"]) == CLIENTS_OF_HIDDEN_ROWS)
    )


def expert_ranks(point):
    """As the point is labelled; 1 where it is not."""
    return int(point["ep"] or 1) or 1


def is_labelled(text, point):
    """Whether a point bears the labels of a recipe: "dp2 ep4; dp4 ep16", "dpN epN*N" (N: its TP degree), "ep4 (tp4); ep1 (tp8)"."""
    tp, dp = int(point["tp"]), int(point["dp"] or 1) or 1
    degrees = {"N": tp, "N*N": tp * tp}
    for label in text.split(";"):
        said = re.match(r"\s*(?:dp(\S+) )?ep(\S+)(?: .*\(tp(\d+))?", label)
        if said is None:
            continue
        said_dp, said_ep, said_tp = said.groups()
        if (
            expert_ranks(point) == (degrees.get(said_ep) or int(said_ep))
            and (said_dp is None or dp == (degrees.get(said_dp) or int(said_dp)))
            and (said_tp is None or tp == int(said_tp))
        ):
            return True
    return False


def recipe_of(recipes, point):
    """The recipe, or None and why there is none."""
    found = [recipe for recipe in recipes if matches(recipe, point)]
    if not found:
        return None, "no_recipe"
    found = [recipe for recipe in found if is_labelled(recipe["labels_in_data"], point)] or found
    settings = [settings_of(recipe, point, int(point["concurrency"])) for recipe in found]
    if any(one != settings[0] for one in settings):
        return None, "several_recipes"
    # Whether ranks attend apart stands in no column.
    if found[0]["real_topology"].startswith("conc decides") and expert_ranks(point) > 1:
        return None, "unknown_topology"
    return found[0], None


def number(text):
    """The number that a cell begins with, or that an unset(...) cell says is the default."""
    return int(re.search(r"\d+", text).group())


def on_or_off(text):
    """True, False, or None where the flag was not passed."""
    if text.startswith("unset"):
        return None
    return text.startswith("on")


def seats(recipe, clients):
    """max_num_seqs; of rows whose number of clients was hidden, what their times tell."""
    text = recipe["max_num_seqs"]
    if text.startswith("unset"):
        return None
    return clients if text == "C" else number(text)


def context_length(text, point):
    """max_model_len: a number, or "isl+osl+<margin>"."""
    if margin := re.fullmatch(r"isl\+osl\+(\d+)", text):
        return int(point["isl"]) + int(point["osl"]) + int(margin.group(1))
    return int(text)


def graphs_of(text):
    """Settings of CUDA graphs that a recipe names."""
    settings = {}
    if mode := re.match(r"FULL_DECODE_ONLY|FULL_AND_PIECEWISE|PIECEWISE", text):
        settings["cudagraph_mode"] = mode.group()
    if sizes := re.search(r"(?:cuda-graph-sizes|max-cudagraph-capture-size) (\d+)", text):
        settings["max_cudagraph_capture_size"] = int(sizes.group(1))
    return settings


def settings_of(recipe, point, clients):
    version = recipe["version"].split(" ")[0]
    context = recipe["max_model_len"]
    settings = {
        "version": version,
        "max_model_len": context_length(context, point),
    }
    tokens = recipe["max_num_batched_tokens"]
    if not tokens.startswith("unset"):
        settings["max_num_batched_tokens"] = 2 * int(point["isl"]) if tokens == "2*isl" else int(tokens)
    if (most := seats(recipe, clients)) is not None:
        settings["max_num_seqs"] = most
    settings["gpu_mem_util"] = float(recipe["gpu_memory_utilization"])
    if (caching := on_or_off(recipe["prefix_caching"])) is not None:
        settings["enable_prefix_caching"] = caching
    if (scheduling := on_or_off(recipe["async_scheduling"])) is not None:
        settings["async_scheduling"] = scheduling
    contradicted, _ = CONTRADICTED.get((recipe["model"], recipe["gpu"]), (None, None))
    if not recipe["kv_cache_dtype"].startswith("unset") and contradicted != "kv_cache_dtype":
        settings["kv_cache_dtype"] = recipe["kv_cache_dtype"]
    settings |= graphs_of(recipe["cudagraph"])
    if re.search(r"fi_allreduce_fusion|fuse_allreduce_rms", recipe["fusion"]):
        settings["fuse_allreduce_rms"] = True
    if recipe["expert_parallel"].startswith("on") and (expert_ranks(point) > 1 or "where label" not in recipe["expert_parallel"]):
        settings["enable_expert_parallel"] = True
    return settings


def uniform(nominal):
    return {"distribution": "uniform", "min": int(RANGE_LOW * nominal), "max": nominal}


def workload_of(recipe, point, clients):
    prompt, output = int(point["isl"]), int(point["osl"])
    loop = seats(recipe, clients) if recipe["labels_in_data"] == "concurrency 512" else clients
    workload = {
        "name": f"{prompt}/{output}",
        "type": "inferencex_random",
        "prompt_length": uniform(prompt),
        "output_length": uniform(output),
        "numpy_seed": 0,
        "temperature": 0,
        "stages": [{"num_requests": REQUESTS_PER_CLIENT * loop}],
        "arrival": {"process": "closed_loop", "concurrency": clients},
        "effective": {"order": "unique"},
    }
    if recipe["warmups"].startswith("2*C"):
        workload["warm_up"] = {"requests": WARM_UPS_PER_CLIENT * clients, "concurrency": clients, "prompt": "first"}
    return workload


def configuration(recipe, point):
    """What a split must not tear apart."""
    model = recipe["checkpoint"].split("/")[-1]
    return f"{model}-{point['gpu'].split('_')[0]}-tp{point['tp']}-{point['isl']}x{point['osl']}"


def undated(sweep):
    return re.sub(r"-\d{4}-\d{2}-\d{2}", "", sweep)


def held_out(experiments):
    """Sweeps of the held-out configurations: of each model on this GPU one in five, at least one, the first by hash of the name."""
    configurations = collections.defaultdict(set)
    for one in experiments:
        configurations[one["model"]].add(undated(one["sweep"]))
    chosen = set()
    for names in configurations.values():
        by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        chosen.update(by_hash[: max(1, round(len(names) / HELD_OUT_SHARE))])
    return sorted({one["sweep"] for one in experiments if undated(one["sweep"]) in chosen})


def flags_of(recipe, point):
    flags = [FLAG_TEXTS[flag] for flag in point["flag"].split("|") if flag]
    if contradiction := CONTRADICTED.get((recipe["model"], recipe["gpu"])):
        flags.append(contradiction[1])
    if recipe["labels_in_data"] == "concurrency 512":
        flags.append(f"the number of clients in force is inferred: {recipe['note'].split('Inferred: ')[-1]}")
    if point["flag"] == "" and recipe["labels_in_data"] not in ("", "TP"):
        flags.append(f"labelled {recipe['labels_in_data']}; the recipe says {recipe['real_topology']}")
    return flags


def experiment(recipe, point):
    clients = int(point["concurrency"])
    name = configuration(recipe, point)
    date = point["measured"][:10]
    inferred = ["the means are means: by the benchmark's source and by replay, not stated with the figures"]
    if recipe["confidence"] and not recipe["confidence"].startswith("recorded"):
        inferred.append(f"settings: {recipe['confidence']}")
    row = {"ttft_mean": float(point["ttft_ms"]), "tpot_true_mean": float(point["tpot_ms"])}
    return {
        "id": f"{name}-c{clients}-{date}",
        "sweep": f"{name}-{date}",
        "role": "overload" if point["flag"] else "calibration",
        "model": recipe["checkpoint"],
        "hardware": point["gpu"].split("_")[0].upper(),
        "tp": int(point["tp"]),
        "precision": point["precision"],
        "engine": "vllm",
        "vllm": settings_of(recipe, point, clients),
        "workload": workload_of(recipe, point, clients),
        "measured": {"measured_at": "client", "summary": row},
        "flags": flags_of(recipe, point),
        "inferred": inferred,
    }


def peer_rows(folder, ids):
    """What aiconfigurator predicts for the points: its measured tables alone (SILICON, which refuses what they lack), and with
    estimates for the rest (HYBRID)."""
    rows = []
    with (folder / "aiconfigurator_predictions.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["row_id"] not in ids:
                continue
            experiment, measured = ids[row["row_id"]]
            for simulator, prefix in (("aiconfigurator-silicon", "pred"), ("aiconfigurator-hybrid", "hybrid")):
                for metric in ("ttft", "tpot"):
                    if predicted := row[f"{prefix}_{metric}_ms"]:
                        rows.append((experiment, simulator, "summary", f"{metric}_mean_ms", predicted, measured[metric], PEER_SOURCE))
    return sorted(rows)


def main():
    parser = shipping.parser_of(__doc__, "folder")
    parser.add_argument("--gpu", required=True)
    arguments = parser.parse_args()
    shipment = shipping.Shipment(arguments, __file__, LICENCE)
    with (arguments.folder / "recipes.csv").open(newline="") as file:
        recipes = list(csv.DictReader(file))
    with (arguments.folder / f"{arguments.gpu}_vllm.csv").open(newline="") as file:
        points = list(csv.DictReader(file))
    left_out = collections.Counter()
    experiments = {}
    ids = {}
    for point in points:
        reasons = DROPPED & set(point["flag"].split("|"))
        if reasons:
            left_out[sorted(reasons)[0]] += 1
            continue
        recipe, reason = recipe_of(recipes, point)
        if recipe is None:
            left_out[reason] += 1
            continue
        one = experiment(recipe, point)
        if one["id"] in experiments:  # measured on one day with and without expert parallelism
            for key in ("id", "sweep"):
                one[key] += f"-ep{expert_ranks(point)}"
        if one["id"] in experiments:
            raise SystemExit(f"{one['id']} is there twice")
        experiments[one["id"]] = one
        ids[point["row_id"]] = (one["id"], {"ttft": point["ttft_ms"], "tpot": point["tpot_ms"]})
    ordered = sorted(experiments.values(), key=lambda one: (one["sweep"], one["workload"]["arrival"]["concurrency"]))
    usable = sum(one["role"] == "calibration" for one in ordered)
    print("held out:", ", ".join(held_out([one for one in ordered if one["role"] == "calibration"])))
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    what = f"{len(ordered)} closed-loop serving points, {usable} of them without a flag; left out: {dropped or 'none'}"
    shipment.json(f"serving_{arguments.gpu}.json", ordered, what=what, sources=SOURCES)
    if not (arguments.folder / "aiconfigurator_predictions.csv").exists():
        return
    rows = peer_rows(arguments.folder, ids)
    what = f"{len(rows)} predictions of aiconfigurator for these points"
    shipment.csv(f"serving_{arguments.gpu}_peers.csv", PEER_COLUMNS, rows, what=what, sources=[PEER_SOURCE])


if __name__ == "__main__":
    main()
