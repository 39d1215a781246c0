"""scripts/import/leave_out_products.py reads rows of products as kernels::GpuCurves does."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts/import"))
import leave_out_products as products  # noqa: E402  (its folder is known only here)


def row(m, us, flag="", engine="vllm-0.19.0", n=8192, k=4096):
    return {"dtype": "bf16", "m": str(m), "n": str(n), "k": str(k), "latency_us": str(us), "flag": flag, "engine": engine}


class Rows(unittest.TestCase):
    def test_from_the_cache_take_no_less_than_streaming(self):
        rows = [row(1, 20.0), row(1, 1.0, "l2_resident", n=4096), row(2, 15.0, "l2_resident", n=4096), row(4, 1.0, "over_bw_l2", n=4096)]
        self.assertEqual(products.shapes_of(rows, "bf16")[4096, 4096], {1: 10.0, 2: 15.0})

    def test_from_the_cache_say_nothing_where_nothing_streamed(self):
        self.assertEqual(products.shapes_of([row(1, 1.0, "l2_resident")], "bf16"), {})

    def test_of_the_newest_release_count(self):
        rows = [row(1, 20.0, engine="vllm-0.10.0"), row(1, 30.0, engine="vllm-0.9.0")]
        self.assertEqual(products.shapes_of(rows, "bf16")[8192, 4096], {1: 20.0})

    def test_that_were_disturbed_take_what_more_tokens_take(self):
        rows = [row(1, 20.0), row(2, 31.0), row(4, 20.0), row(8, 29.0)]
        self.assertEqual(products.shapes_of(rows, "bf16")[8192, 4096], {1: 20.0, 2: 20.0, 4: 20.0, 8: 29.0})


if __name__ == "__main__":
    unittest.main()
