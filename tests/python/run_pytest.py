"""Runs pytest on the files named. Exits with 77, ctest's word for skipped, where there is no pytest, or all tests were skipped."""

import sys

try:
    import pytest
except ImportError:
    print("skipped: pytest is not installed (python3-pytest)")
    sys.exit(77)


class Counter:
    ran = 0

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and not report.skipped:
            Counter.ran += 1


code = pytest.main(["-q", "-rs", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Counter()])
sys.exit(77 if code == 0 and Counter.ran == 0 else code)
