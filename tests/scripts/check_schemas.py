"""The shipped JSON Schemas describe what the program reads and prints.

  check_schemas.py PROGRAM SOURCE_DIR

Skipped (exit code 77) without python3-jsonschema and python3-ruamel.yaml, which read schemas and YAML as editors do.
"""

import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import jsonschema
    import ruamel.yaml
except ImportError as missing:
    print(f"skipped: {missing} (install python3-jsonschema and python3-ruamel.yaml)")
    sys.exit(77)

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
FOLDER = SOURCE / "schema"


def run(*arguments, codes=(0,)):
    result = subprocess.run([PROGRAM, *map(str, arguments)], cwd=SOURCE, text=True, capture_output=True, check=False)
    if result.returncode not in codes:
        raise AssertionError(f"{arguments}: exit code {result.returncode}\n{result.stderr}")
    return result.stdout


def schema(name):
    return json.loads((FOLDER / f"{name}.schema.json").read_text())


def validator(name):
    own = schema(name)
    resolver = jsonschema.RefResolver((FOLDER / f"{name}.schema.json").as_uri(), own)
    return jsonschema.Draft202012Validator(own, resolver=resolver)


def problems(name, value):
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in validator(name).iter_errors(value)]


def yaml(text):
    """As YAML 1.2 has it: `on` and `off` are texts."""
    return ruamel.yaml.YAML(typ="safe", pure=True).load(text)


class Schemas(unittest.TestCase):
    def test_are_schemas(self):
        for path in FOLDER.glob("*.schema.json"):
            with self.subTest(path.name):
                jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))

    def test_are_printed_by_name(self):
        for name in run("schema").split():
            self.assertEqual(run("schema", name), (FOLDER / f"{name}.schema.json").read_text(), name)

    def test_every_key_says_what_it_means(self):
        def look(value, path):
            for key, inner in value.get("properties", {}).items():
                # Metrics and the fields of selectors are names; the object that holds them has the sentence.
                is_name = key.endswith("_ms") or path.endswith(".selectors")
                is_said = inner.get("description") or "$ref" in inner or "const" in inner or is_name
                self.assertTrue(is_said, f"{path}.{key}")
            for key, inner in value.items():
                for at, one in enumerate(inner if isinstance(inner, list) else [inner]):
                    if isinstance(one, dict) and key not in ("default", "examples", "if", "then", "else"):
                        for name, part in (one.items() if key in ("properties", "$defs") else [(key, one)]):
                            look(part, f"{path}.{name}") if isinstance(part, dict) else None

        for path in FOLDER.glob("*.schema.json"):
            look(json.loads(path.read_text()), path.name)


class Studies(unittest.TestCase):
    def test_that_ship_are_described(self):
        for path in sorted((SOURCE / "experiments").glob("**/*.yaml")):
            with self.subTest(path.name):
                self.assertEqual(problems("gpus" if path.name == "gpus.yaml" else "study", yaml(path.read_text())), [])

    def test_template_is_described(self):
        self.assertEqual(problems("study", yaml(run("fit", "--dump-default"))), [])

    def test_template_without_comment_signs_names_every_key(self):
        lines = run("fit", "--dump-default").splitlines()
        text = "\n".join(line.removeprefix("# ") for line in lines[1:])
        missing = [key for key in properties(schema("study")) if f"{key}:" not in text]
        self.assertEqual(missing, [])

    def test_that_are_refused_for_their_keys_are_not_described(self):
        """What the reader calls an unknown or missing key, or a wrong word, an editor underlines too."""
        seen = 0
        for path in sorted((SOURCE / "tests/bad_inputs/studies").glob("*.yaml")):
            expected = path.parent / f"{path.name}.expected"
            # Which keys `failures` has depends on another key of the study: the schema knows them all.
            if "unknown key" not in expected.read_text() or "in 'failures'" in expected.read_text():
                continue
            try:
                value = yaml(path.read_text())
            except ruamel.yaml.error.YAMLError:
                continue
            seen += 1
            self.assertNotEqual(problems("study", value), [], path.name)
        self.assertGreater(seen, 3)

    def test_with_another_key_or_type_are_not_described(self):
        base = yaml((SOURCE / "experiments/physics_h100.yaml").read_text())
        self.assertEqual(problems("study", base), [])
        for change in (
            lambda study: study.update(replicas=3),
            lambda study: study.pop("name"),
            lambda study: study.update(seed="one"),
            lambda study: study["objective"].update(rows="all"),
            lambda study: study["data"].update(select={"colour": "red"}),
            lambda study: study.update(crossval={"split": "KFold", "group": "model"}),
            lambda study: study.update(crossval={"split": "PredefinedSplit"}),
            lambda study: study.update(switches={"engine.graph_padding": "maybe"}),
            lambda study: study.update(free=["physics.no_such"]),
        ):
            changed = copy.deepcopy(base)
            change(changed)
            self.assertNotEqual(problems("study", changed), [])


class ConfigsAndGpus(unittest.TestCase):
    def test_that_ship_are_described(self):
        for path in sorted((SOURCE / "configs/tuned").glob("*.json")):
            with self.subTest(path.name):
                self.assertEqual(problems("config", json.loads(path.read_text())), [])
        self.assertEqual(problems("gpus", yaml((SOURCE / "configs/gpus.yaml").read_text())), [])

    def test_with_another_key_or_type_are_not_described(self):
        config = json.loads((SOURCE / "configs/tuned/h100.json").read_text())
        gpus = yaml((SOURCE / "configs/gpus.yaml").read_text())
        for name, base, change in (
            ("config", config, lambda value: value.pop("schema")),
            ("config", config, lambda value: value.update(step_time_model="roof")),
            ("config", config, lambda value: value["parameters"].update({"physics.no_such": 1})),
            ("config", config, lambda value: value["hardware"].update({"X": {"TFlopsPaek": 1}})),
            ("config", config, lambda value: value["uncertainty"]["parameters"][0].pop("transform")),
            ("gpus", gpus, lambda value: value["gpus"][0].update(peak_bf16_tflops="989.5")),
            ("gpus", gpus, lambda value: value["gpus"][0].update(interconnect="cable")),
            ("gpus", gpus, lambda value: value["gpus"][0].pop("source")),
        ):
            changed = copy.deepcopy(base)
            change(changed)
            self.assertNotEqual(problems(name, changed), [])


class Outputs(unittest.TestCase):
    maxDiff = None

    """Every command's --json on something small."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        for name, text in STUDIES.items():
            (cls.folder / f"{name}.yaml").write_text(text.replace("SOURCE", str(SOURCE)))
        run("fit", cls.folder / "small.yaml", "--out", cls.folder / "fit", "--profile", "physics.t_layer_us", "--bootstrap", "3")
        run("crossval", cls.folder / "small.yaml", "--out", cls.folder / "crossval", "--peers", "ground_truth/peers.csv", "--repeats", "2")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def expect_described(self, name, *arguments, codes=(0,)):
        with self.subTest(name):
            self.assertEqual(problems(name, json.loads(run(*arguments, "--json", codes=codes))), [])

    def file(self, path):
        return self.folder / path

    def test_of_run_folders(self):
        for run_folder, schemas in (("fit", ("fit", "evaluation", "manifest")), ("crossval", ("crossval", "evaluation", "manifest"))):
            for name, stem in zip(schemas, ("result", "evaluation", "manifest")):
                with self.subTest(f"{run_folder}/{stem}"):
                    self.assertEqual(problems(name, json.loads(self.file(f"{run_folder}/{stem}.json").read_text())), [])
        self.assertEqual(problems("config", json.loads(self.file("fit/tuned.json").read_text())), [])
        self.assertEqual(problems("study", yaml(self.file("fit/study.yaml").read_text())), [])

    def test_of_predictions(self):
        self.expect_described("evaluation", "evaluate", self.file("small.yaml"), "--config", "h100", "--peers", "ground_truth/peers.csv")
        load = ("--model", "Llama-2-7b-hf", "--prompt-tokens", "600", "--output-tokens", "50")
        self.expect_described("simulation", "simulate", *load, "--rate", "4", "--duration", "20")
        self.expect_described("sweep", "simulate", *load, "--concurrency", "2,4", "--num-prompts", "20")
        self.expect_described("capacity", "capacity", "--config", "h100", *load, "--tp", "1,2", "--objective", "ttft_p90=500",
                              "--load", "20", "--replicates", "2", "--duration", "20")

    def test_of_fits(self):
        small = self.file("small.yaml")
        self.expect_described("comparison", "compare", small, "--out", self.file("compare"))
        self.expect_described("solvers", "solvers", small, "--algorithm", "ceres_lm", "--algorithm", "bobyqa", "--max-evaluations", "50")
        self.expect_described("recovery", "recover", small, "--repeats", "3")
        self.expect_described("improvement", "improve", self.file("improve.yaml"), "--out", self.file("improve"))
        self.expect_described("onboard", "onboard", "experiments/onboard_l40s.yaml", "--out", self.file("onboard"))
        self.expect_described("next-run-trial", "onboard", self.file("trial.yaml"), "--out", self.file("trial"))
        self.expect_described("simulated-transfers", "onboard", "experiments/onboard_l40s.yaml", "--simulate-transfers", "2")
        self.expect_described("hierarchy", "onboard", "experiments/hierarchical.yaml", "--spreads")

    def test_of_watched_windows(self):
        """Twice as slow as the config in every window, and with a request that no pool holds."""
        lines = ["arrival_s,input_tokens,output_tokens,ttft_ms,e2e_ms"]
        lines += [f"{i},{900000 if i == 5 else 600},50,60,1000" for i in range(80)]
        self.file("requests.csv").write_text("\n".join(lines) + "\n")
        windows = run("watch", "h100", self.file("requests.csv"), "--model", "Llama-2-7b-hf", "--window", "20", "--json", codes=(2,))
        for window in map(json.loads, windows.splitlines()):
            self.assertEqual(problems("watched-window", window), [])
        self.assertTrue(window["explanations"])

    def test_of_looking(self):
        small = self.file("small.yaml")
        self.expect_described("resolved", "show", small)
        self.expect_described("parameters", "params")
        self.expect_described("validation", "validate", small, "tests/bad_inputs/studies/compare_wrong.yaml", codes=(1,))
        self.expect_described("diff", "diff", self.file("fit"), self.file("crossval"))
        self.expect_described("report", "report", self.file("fit"), "-o", self.file("report.html"))

    def test_of_files_of_others(self):
        self.expect_described("export", "export", "h100", "--form", "alpha-beta", "--model", "Llama-2-7b-hf", "--tp", "1")
        self.expect_described("export", "export", "configs/tuned/h100.roofline_v1.json", "--form", "hardware-config")
        self.expect_described("import", "import", "guidellm", "tests/import_examples/synthetic_guidellm_sweep.json", "--gpu", "H100",
                              "--vllm-log", "tests/import_examples/synthetic_vllm.log", "--out", self.file("imported.json"))
        self.expect_described("kernel-audit", "kernels", "audit", "bench_data/h100", codes=(0, 2))
        self.expect_described("kernel-plan", "kernels", "plan", "--model", "Llama-2-7b-hf", "--tp", "1", "2")
        self.expect_described("kernel-normalisation", "kernels", "normalise", "bench_data/h100", "--out", self.file("clean"))

    def test_with_another_key_are_not_described(self):
        result = json.loads(self.file("fit/result.json").read_text())
        for change in (lambda value: value.update(more=1), lambda value: value.pop("usable"),
                       lambda value: value["parameters"][0].update(bound="loose")):
            changed = copy.deepcopy(result)
            change(changed)
            self.assertNotEqual(problems("fit", changed), [])


def properties(value):
    """The names of all keys that a schema knows, but for those of ids."""
    found = set()
    if isinstance(value, dict) and "examples" not in value:
        for key, inner in value.items():
            if key in ("$defs", "default", "additionalProperties", "items", "anyOf", "allOf"):
                continue
            if key == "properties":
                found |= set(inner)
            found |= properties(inner)
    return found


STUDIES = {
    "small": """
name: small
data: {ground_truth: [SOURCE/ground_truth/h100.json], select: {id: ['64', '62', '63']}}
start: {step_time_model: physics}
free: [frontend.constant_us, physics.t_layer_us]
solver: [{algorithm: ceres_lm, max_evaluations: 20}]
crossval: {split: LeaveOneGroupOut, group: model}
compare:
  variants:
    - {name: a, free: [physics.t_step_us]}
    - {name: b, fixed: {physics.t_seq_us: 3}, switches: {physics.sampler: off}}
  one_by_one: {from: a, to: b}
""",
    "improve": """
name: improve
data: {ground_truth: [SOURCE/ground_truth/h100.json], select: {id: ['64', '62', '63', '65', '66']}}
start: {config: h100}
free: [physics.t_layer_us]
crossval: {split: LeaveOneGroupOut, group: model}
improve: {rounds: 1, candidates: 2, seeds: 2, test: {id: '66'}}
""",
    "trial": """
name: trial
data: {ground_truth: [SOURCE/ground_truth/h100.json], select: {model: [Qwen2.5-7B-Instruct, Mistral-Nemo-Instruct-2407, Yi-34B]}}
start: {config: h100}
free: [physics.t_layer_us]
onboard: {gpu: H100-SXM, trial: {start_runs: 2, draws: 2}}
""",
}

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
