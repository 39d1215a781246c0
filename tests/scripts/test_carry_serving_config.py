"""scripts/carry_serving_config.py says what the fit saw, and changes scopes of models alone."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import carry_serving_config as carry  # noqa: E402  (its folder is known only here)


class Provenance(unittest.TestCase):
    def test_knows_the_gpus_of_the_fits_inputs(self):
        config = {"provenance": {"input ground_truth/serving_h200.json": "sha256 0", "input experiments/serving_hopper.yaml": "sha256 1"}}
        self.assertTrue(carry.is_fitted(config, "H200-SXM"))
        self.assertFalse(carry.is_fitted(config, "H100-SXM"))
        self.assertFalse(carry.is_fitted(config, "B200-SXM"))


class Scopes(unittest.TestCase):
    def test_without_a_model_or_of_one_gpu_stay(self):
        scopes = [{"where": {"tp": 2}, "parameters": {}}, {"where": {"gpu": "H100-SXM", "model": "Kimi-K2.5"}, "parameters": {}}]
        self.assertEqual(list(carry.carried_scopes(scopes, True)), scopes)

    def test_of_a_model_hold_for_its_other_checkpoints_without_hoppers_experts(self):
        scopes = [{"where": {"model": "Kimi-K2.5"}, "parameters": {"kernels.expert_load_factor": {"value": 2.0, "source": "fitted"}}}]
        own, other = carry.carried_scopes(scopes, True)
        self.assertEqual(own, scopes[0])
        self.assertEqual(other["where"], {"model": "Kimi-K2.5-NVFP4"})
        self.assertEqual(other["parameters"]["kernels.expert_load_factor"], {"value": 1.2, "source": "default"})


if __name__ == "__main__":
    unittest.main()
