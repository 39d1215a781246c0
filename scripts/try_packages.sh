#!/usr/bin/env bash
# What release.sh --try does on a bare system, in a folder that holds the packages and tests/consumer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

step() {
  printf '\n-- %s\n' "$1"
  "${@:2}"
}

study=/usr/share/rooftune/experiments/quickstart.yaml
truth=/usr/share/rooftune/ground_truth/h100.json

program() {
  apt-get install --yes ./rooftune_*.deb
  rooftune fit "$study" --out run
  test -s run/tuned.json
  rooftune evaluate --ground-truth "$truth" --config run/tuned.json
}

in_place() {
  # A name, from a folder that has nothing to do with rooftune.
  (cd / && rooftune evaluate --ground-truth "$truth" --config h100 && rooftune simulate --model Llama-2-7b-hf --config h100 --duration 10)
  test -s /usr/share/man/man1/rooftune.1
  test -s /usr/share/bash-completion/completions/rooftune
  test -s /usr/share/zsh/site-functions/_rooftune
}

module() {
  apt-get install --yes ./python3-rooftune_*.deb
  (cd / && python3 - <<'PYTHON'
import rooftune

evaluation = rooftune.evaluate(ground_truth=rooftune.data_directory() / "ground_truth/h100.json", config="h100")
print(evaluation, rooftune.step_time(model="Llama-2-7b-hf", config="h100"), rooftune.command("--version"))
fit = rooftune.open_study(rooftune.data_directory() / "experiments/quickstart.yaml").fit()
assert fit.tuned.to_dict()["parameters"] == rooftune.load_config("/srv/run/tuned.json").to_dict()["parameters"]
PYTHON
  )
}

library() {
  apt-get install --yes ./rooftune-dev_*.deb cmake g++ make
  cmake -S consumer -B consumer/build -DCMAKE_BUILD_TYPE=Release
  cmake --build consumer/build
  consumer/build/consumer
}

step "program" program
step "what lies where it is looked for" in_place
step "Python module" module
step "library" library
