"""docs/limits.md names every limit of limits.hpp with its value."""

import re
import unittest

import script_path

SOURCE = script_path.ROOT


def value(expression):
    expression = re.sub(r"std::size_t\{(\d+)\}", r"\1", expression.replace("'", ""))
    return eval(re.sub(r"(?<=\d)U\b", "", expression), {"__builtins__": {}})


class Limits(unittest.TestCase):
    def test_stand_in_the_docs(self):
        header = (SOURCE / "lib/core/include/rooftune/core/limits.hpp").read_text()
        page = (SOURCE / "docs/limits.md").read_text()
        limits = re.findall(r"inline constexpr [\w:]+ (k\w+) = ([^;]+);", header)
        self.assertGreater(len(limits), 10)
        for name, expression in limits:
            row = re.search(rf"^\|.*\| (\d+)\b.*\| `{name}` \|$", page, re.M)
            self.assertIsNotNone(row, f"{name} is not in docs/limits.md")
            self.assertEqual(int(row.group(1)), value(expression), name)
        self.assertEqual(len(re.findall(r"`k\w+` \|$", page, re.M)), len(limits), "the page names a limit that is gone")


if __name__ == "__main__":
    unittest.main()
