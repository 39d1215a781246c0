"""scripts/check_deploy.py finds what it is there for."""

import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), "/usr/lib/python3/dist-packages"]
try:
    import check_deploy
except SystemExit:
    check_deploy = None


@unittest.skipIf(check_deploy is None, "python3-ruamel.yaml is missing")
class CheckDeploy(unittest.TestCase):
    def problems_of(self, name, old, new):
        text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
        self.assertIn(old, text)
        checker = check_deploy.Checker()
        changed = text.replace(old, new, 1)
        if name.endswith(".sbatch"):
            checker.batch(name, changed)
        else:
            checker.manifest(name, changed)
        return "\n".join(checker.problems)

    def test_what_ships_is_fine(self):
        self.assertEqual(check_deploy.check(ROOT), [])

    def test_unknown_fields_and_types(self):
        job = "kubernetes/crossval-indexed-job.yaml"
        self.assertIn("unknown field 'completion'", self.problems_of(job, "completions: 8", "completion: 8"))
        self.assertIn("'parallelism' is no int", self.problems_of(job, "parallelism: 8", "parallelism: many"))
        self.assertIn("SHARDS differs from 'completions'", self.problems_of(job, "completions: 8", "completions: 9"))
        self.assertIn("restartPolicy is none of", self.problems_of(job, "restartPolicy: Never", "restartPolicy: Always"))
        self.assertIn("which the pod does not have", self.problems_of(job, "{name: study, mountPath", "{name: data, mountPath"))

    def test_ranks_and_slots_agree(self):
        job = "kubernetes/crossval-mpijob.yaml"
        self.assertIn("mpirun starts 63 ranks, and there are 64 slots", self.problems_of(job, '"64"', '"63"'))
        self.assertIn("a worker has fewer cores than slots", self.problems_of(job, 'cpu: "16"', 'cpu: "8"'))

    def test_options_of_batch_scripts(self):
        script = "slurm/crossval.sbatch"
        self.assertIn("unknown option '--node'", self.problems_of(script, "--nodes=4", "--node=4"))
        self.assertIn("are not read", self.problems_of(script, "study=${1", "#SBATCH --nodes=4\nstudy=${1"))


if __name__ == "__main__":
    unittest.main()
