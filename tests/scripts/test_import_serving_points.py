"""scripts/import/import_serving_points.py finds the recipe of a point by its labels, or says why there is none."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts/import"))
import import_serving_points as serving  # noqa: E402  (its folder is known only here)

POINT = {
    "model": "M", "gpu": "b200_sxm", "precision": "fp8", "isl": "1024", "osl": "1024", "tp": "2", "dp": "1", "ep": "1",
    "measured": "2026-04-03", "concurrency": "4", "row_id": "a",
}  # fmt: skip
RECIPE = {
    "model": "M", "gpu": "b200_sxm", "precision": "fp8", "isl_osl": "*", "tps": "2/4", "date_from": "2026-04-03", "date_to": "2026-04-03",
    "labels_in_data": "", "real_topology": "TP", "version": "0.19.0", "max_model_len": "isl+osl+200", "max_num_batched_tokens": "2*isl",
    "max_num_seqs": "unset(1024)", "gpu_memory_utilization": "0.9", "prefix_caching": "off", "async_scheduling": "unset(on since v0.14)",
    "kv_cache_dtype": "fp8", "cudagraph": "unset", "fusion": "unset", "expert_parallel": "on where label ep>1",
}  # fmt: skip


class Labels(unittest.TestCase):
    def test_are_numbers_or_follow_the_tp_degree(self):
        four_ranks = POINT | {"tp": "4", "dp": "4", "ep": "16"}
        self.assertTrue(serving.is_labelled("dpN epN*N", four_ranks))
        self.assertTrue(serving.is_labelled("dp2 ep4; dp4 ep16", four_ranks))
        self.assertFalse(serving.is_labelled("dp1 epN", four_ranks))
        self.assertTrue(serving.is_labelled("dp1 epN", POINT | {"ep": "2"}))
        self.assertTrue(serving.is_labelled("ep1 moe_tp=tp", POINT | {"ep": ""}))
        self.assertTrue(serving.is_labelled("ep4 (tp4); ep1 (tp8)", POINT | {"tp": "8"}))
        self.assertFalse(serving.is_labelled("dp1 ep4 (tp4); ep1 (tp8 C4)", POINT | {"tp": "8", "ep": "4"}))
        self.assertFalse(serving.is_labelled("concurrency 512", POINT))


class Recipes(unittest.TestCase):
    def test_decide_by_label_where_several_match(self):
        recipes = [RECIPE | {"labels_in_data": "ep1"}, RECIPE | {"labels_in_data": "dpN epN*N", "max_num_batched_tokens": "8192"}]
        self.assertEqual(serving.recipe_of(recipes, POINT), (recipes[0], None))
        self.assertEqual(serving.recipe_of(recipes, POINT | {"dp": "2", "ep": "4"}), (recipes[1], None))

    def test_that_differ_and_unknown_servers_give_a_reason(self):
        self.assertEqual(serving.recipe_of([RECIPE, RECIPE | {"kv_cache_dtype": "unset(auto)"}], POINT), (None, "several_recipes"))
        self.assertEqual(serving.recipe_of([RECIPE, RECIPE | {"labels_in_data": "TP"}], POINT)[1], None)
        self.assertEqual(serving.recipe_of([RECIPE | {"max_model_len": ""}], POINT), (None, "no_recipe"))
        apart = RECIPE | {"real_topology": "conc decides: see note", "labels_in_data": "dp2 ep4"}
        self.assertEqual(serving.recipe_of([apart], POINT | {"dp": "2", "ep": "4"}), (None, "unknown_topology"))

    def test_deal_experts_to_ranks_by_the_label(self):
        self.assertNotIn("enable_expert_parallel", serving.settings_of(RECIPE, POINT, 4))
        self.assertTrue(serving.settings_of(RECIPE, POINT | {"ep": "2"}, 4)["enable_expert_parallel"])
        self.assertTrue(serving.settings_of(RECIPE | {"expert_parallel": "on"}, POINT, 4)["enable_expert_parallel"])
        self.assertEqual(serving.settings_of(RECIPE, POINT, 4)["max_num_batched_tokens"], 2048)


if __name__ == "__main__":
    unittest.main()
