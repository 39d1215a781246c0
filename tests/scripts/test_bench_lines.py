import unittest

import script_path  # noqa: F401
import bench_lines


class BenchLines(unittest.TestCase):
    def test_prints_name_value_unit_and_counters(self):
        run = {"name": "replay all", "family_index": 0, "iterations": 90, "real_time": 8.1234567, "cpu_time": 8.0, "time_unit": "ms"}
        report = {"benchmarks": [{**run, "steps_per_second": 1.9e8, "events": 312000.0}]}
        self.assertEqual(
            list(bench_lines.lines(report)),
            ["replay_all 8.12346 ms", "replay_all/steps_per_second 1.9e+08 1/s", "replay_all/events 312000 1"],
        )

    def test_refuses_a_benchmark_that_failed(self):
        report = {"benchmarks": [{"name": "replay", "error_occurred": True, "error_message": "no data"}]}
        with self.assertRaisesRegex(ValueError, "replay: no data"):
            list(bench_lines.lines(report))


if __name__ == "__main__":
    unittest.main()
