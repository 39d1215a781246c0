#!/usr/bin/env python3
"""Checks what deploy/ holds as far as a machine without a cluster can: fields and their types, and what must agree with each other.

  check_deploy.py [ROOT]

Prints one line per problem; exit code 1 when there is any, 77 without ruamel.yaml (python3-ruamel.yaml).
Fields: the API reference of Kubernetes (batch/v1, core/v1), the MPIJob of Kubeflow's MPI operator (v2beta1), sbatch(1).
"""

import re
import subprocess
import sys
from pathlib import Path

try:
    from ruamel.yaml import YAML
except ImportError:
    print("python3-ruamel.yaml is missing")
    sys.exit(77)

CONTAINER = {
    "name": str, "image": str, "command": list, "args": list, "workingDir": str, "env": list, "resources": dict,
    "securityContext": dict, "volumeMounts": list}
POD = {
    "restartPolicy": str, "terminationGracePeriodSeconds": int, "containers": list, "volumes": list, "tolerations": list,
    "nodeSelector": dict}
TEMPLATE = {"metadata": dict, "spec": dict}
JOB = {
    "completionMode": str, "completions": int, "parallelism": int, "backoffLimit": int, "activeDeadlineSeconds": int,
    "ttlSecondsAfterFinished": int, "suspend": bool, "template": dict}
RUN_POLICY = {"cleanPodPolicy": str, "backoffLimit": int, "activeDeadlineSeconds": int, "ttlSecondsAfterFinished": int, "suspend": bool}
MPI_JOB = {
    "slotsPerWorker": int, "mpiImplementation": str, "sshAuthMountPath": str, "runPolicy": dict, "launcherCreationPolicy": str,
    "mpiReplicaSpecs": dict}
REPLICA = {"replicas": int, "restartPolicy": str, "template": dict}
CLAIM = {"accessModes": list, "resources": dict, "storageClassName": str}
SBATCH = {"job-name", "nodes", "ntasks-per-node", "ntasks", "cpus-per-task", "time", "signal", "open-mode", "output", "partition", "mem"}


class Checker:
    def __init__(self):
        self.problems = []

    def fields(self, where, value, known, required=()):
        for key, item in value.items():
            if key not in known:
                self.problems.append(f"{where}: unknown field '{key}'")
            elif not isinstance(item, known[key]) or (known[key] is int and isinstance(item, bool)):
                self.problems.append(f"{where}: '{key}' is no {known[key].__name__}")
        for key in required:
            if key not in value:
                self.problems.append(f"{where}: '{key}' is missing")

    def expect(self, where, holds, problem):
        if not holds:
            self.problems.append(f"{where}: {problem}")

    def template(self, where, template, policies):
        self.fields(where, template, TEMPLATE, ("spec",))
        pod = template["spec"]
        self.fields(f"{where}.spec", pod, POD, ("containers",))
        if policies:
            self.expect(where, pod.get("restartPolicy") in policies, f"restartPolicy is none of {', '.join(policies)}")
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            name = f"{where}.{container.get('name', '?')}"
            self.fields(name, container, CONTAINER, ("name", "image", "command", "resources"))
            for mount in container.get("volumeMounts", []):
                self.expect(name, mount["name"] in volumes, f"mounts the volume '{mount['name']}', which the pod does not have")
            for variable in container.get("env", []):
                self.expect(name, isinstance(variable.get("value"), str), f"the variable '{variable.get('name')}' is no text")
            for argument in container["command"] + container.get("args", []):
                self.expect(name, isinstance(argument, str), f"the argument {argument!r} is no text")
        return pod

    def job(self, where, spec):
        self.fields(where, spec, JOB, ("template",))
        pod = self.template(f"{where}.template", spec["template"], ("Never", "OnFailure"))
        if spec.get("completionMode") == "Indexed":
            self.expect(where, "completions" in spec, "an Indexed job needs 'completions'")
            for container in pod["containers"]:
                shards = [variable["value"] for variable in container.get("env", []) if variable["name"] == "SHARDS"]
                self.expect(where, shards == [str(spec.get("completions"))], "SHARDS differs from 'completions'")

    def mpi_job(self, where, spec):
        self.fields(where, spec, MPI_JOB, ("mpiReplicaSpecs",))
        self.fields(f"{where}.runPolicy", spec.get("runPolicy", {}), RUN_POLICY)
        self.expect(where, spec.get("mpiImplementation") == "OpenMPI", "the image has Open MPI")
        replicas = spec["mpiReplicaSpecs"]
        self.expect(where, set(replicas) == {"Launcher", "Worker"}, "it needs a Launcher and Workers")
        pods = {}
        for kind, replica in replicas.items():
            self.fields(f"{where}.{kind}", replica, REPLICA, ("replicas", "template"))
            pods[kind] = self.template(f"{where}.{kind}", replica["template"], ())
        launcher = pods["Launcher"]["containers"][0]
        words = launcher["command"] + launcher["args"]
        ranks = int(words[words.index("-n") + 1])
        slots = spec["slotsPerWorker"] * replicas["Worker"]["replicas"]
        self.expect(where, ranks == slots, f"mpirun starts {ranks} ranks, and there are {slots} slots")
        requested = pods["Worker"]["containers"][0]["resources"]["requests"]["cpu"]
        self.expect(where, int(requested) >= spec["slotsPerWorker"], "a worker has fewer cores than slots")

    def manifest(self, name, text):
        for document in YAML(typ="safe").load_all(text):
            where = f"{name}: {document.get('kind')}"
            self.expect(where, isinstance(document.get("metadata", {}).get("name"), str), "'metadata.name' is missing")
            kind = (document.get("apiVersion"), document.get("kind"))
            if kind == ("batch/v1", "Job"):
                self.job(where, document["spec"])
            elif kind == ("kubeflow.org/v2beta1", "MPIJob"):
                self.mpi_job(where, document["spec"])
            elif kind == ("v1", "PersistentVolumeClaim"):
                self.fields(where, document["spec"], CLAIM, ("accessModes", "resources"))
            else:
                self.problems.append(f"{where}: '{kind[0]}' '{kind[1]}' is not known here")

    def batch(self, name, text):
        for option in re.findall(r"^#SBATCH --([a-z-]+)", text, re.MULTILINE):
            self.expect(name, option in SBATCH, f"unknown option '--{option}'")
        body = text.index("set -euo pipefail")
        self.expect(name, "#SBATCH" not in text[body:], "options behind the first command are not read")

    def shell(self, path, name):
        checked = subprocess.run(["bash", "-n", path], text=True, capture_output=True, check=False)
        self.expect(name, checked.returncode == 0, checked.stderr.strip())


def check(root):
    checker = Checker()
    for path in sorted((root / "deploy").rglob("*")):
        name = str(path.relative_to(root))
        if path.suffix == ".yaml":
            checker.manifest(name, path.read_text(encoding="utf-8"))
        elif path.suffix == ".sbatch":
            checker.batch(name, path.read_text(encoding="utf-8"))
            checker.shell(path, name)
        elif path.suffix == ".sh":
            checker.shell(path, name)
    return checker.problems


if __name__ == "__main__":
    found = check(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
