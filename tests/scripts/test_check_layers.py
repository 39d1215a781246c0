import tempfile
import unittest
from pathlib import Path

import script_path  # noqa: F401
import check_layers


class CheckLayers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.add_layer("core")
        self.add_layer("domain", uses="core")
        self.add_layer("sim", uses="domain")

    def add_layer(self, name, uses="", include=""):
        folder = self.root / "lib" / name
        header = folder / "include" / "rooftune" / name / f"{name}.hpp"
        header.parent.mkdir(parents=True, exist_ok=True)
        (folder / "src").mkdir(exist_ok=True)
        header.write_text("#pragma once\n" + include)
        (folder / "src" / f"{name}.cpp").write_text("")
        uses = f"USES {uses}" if uses else ""
        (folder / "CMakeLists.txt").write_text(f"rooftune_add_layer({name}\n  HEADERS {name}.hpp\n  SOURCES {name}.cpp\n  {uses})\n")

    def include_problems(self):
        return list(check_layers.check_includes(self.root, check_layers.load_layers(self.root)))

    def test_accepts_headers_of_layers_that_are_linked_through_others(self):
        self.add_layer("sim", uses="domain", include='#include "rooftune/core/core.hpp"\n')
        self.assertEqual(self.include_problems(), [])

    def test_names_the_include_of_a_layer_that_is_not_linked(self):
        self.add_layer("domain", uses="core", include='#include "rooftune/sim/sim.hpp"\n')
        (problem,) = self.include_problems()
        self.assertIn("domain.hpp:2: layer 'domain' includes 'rooftune/sim/sim.hpp' but does not link 'sim'", problem)

    def test_keeps_private_libraries_out_of_public_headers(self):
        self.add_layer("sim", uses="domain", include="#include <nlohmann/json.hpp>\n")
        (problem,) = self.include_problems()
        self.assertIn("public header shows the private library 'nlohmann'", problem)

    def test_finds_files_that_no_list_names(self):
        (self.root / "lib" / "core" / "src" / "orphan.cpp").write_text("")
        (problem,) = check_layers.check_listing(self.root, check_layers.load_layers(self.root))
        self.assertIn("orphan.cpp lies in the folder but is not listed under SOURCES", problem)

    def test_lets_public_headers_show_what_their_layer_links_publicly(self):
        header = self.root / "lib" / "sim" / "include" / "rooftune" / "sim" / "sim.hpp"
        header.write_text("#pragma once\n#include <nlohmann/json.hpp>\n")
        cmake_file = self.root / "lib" / "domain" / "CMakeLists.txt"
        cmake_file.write_text(cmake_file.read_text().replace(")", "  PUBLIC_LIBRARIES nlohmann_json::nlohmann_json)"))
        self.assertEqual(self.include_problems(), [])

    def table_problems(self, rows, order="core domain sim"):
        (self.root / "docs").mkdir(exist_ok=True)
        table = "| layer | holds | may use | third-party libraries |\n|---|---|---|---|\n" + "\n".join(rows)
        (self.root / "docs" / "architecture.md").write_text(f"# A page\n{table}\n| `apps` | x | everything | CLI11 |\n\n| `no` | row |\n")
        (self.root / "CMakeLists.txt").write_text(f"foreach(layer {order})\nendforeach()\n")
        return list(check_layers.check_layer_table(self.root, check_layers.load_layers(self.root)))

    def test_compares_the_layer_table_with_cmake(self):
        cmake_file = self.root / "lib" / "sim" / "CMakeLists.txt"
        cmake_file.write_text(cmake_file.read_text().replace(")", "  PUBLIC_LIBRARIES fmt::fmt PRIVATE_LIBRARIES tl::expected)"))
        core, domain, sim = "| `core` | x | nothing | |", "| `domain` | x | core | |", "| `sim` | x | domain | tl::expected (public); fmt |"
        self.assertEqual(self.table_problems([core, domain, sim]), [])
        (problem,) = self.table_problems([core, domain, sim.replace("domain", "core, domain")])
        self.assertIn("docs/architecture.md:6: 'sim' links the layers domain; the table says core, domain", problem)
        (problem,) = self.table_problems([core, domain, sim.replace("; fmt", "")])
        self.assertIn("'sim' links the libraries fmt, tl; the table says tl", problem)
        (problem,) = self.table_problems([domain, core, sim])
        self.assertIn("the layer table lists domain, core, sim; CMakeLists.txt adds core, domain, sim", problem)
        self.assertIn("there is no layer 'gone'", self.table_problems([core, domain, sim, "| `gone` | x | core | |"])[1])

    def test_finds_two_types_of_one_name(self):
        code = "namespace rooftune::a {\nnamespace {\nstruct Own {\n};\n}  // namespace\nstruct Point {\n  struct Inner {};\n};\n}  // namespace rooftune::a\n"
        header = self.root / "lib" / "core" / "include" / "rooftune" / "core" / "core.hpp"
        header.write_text(code)
        self.assertEqual(list(check_layers.check_types(self.root)), [])
        (self.root / "lib" / "sim" / "src" / "sim.cpp").write_text("\n" + code)
        (problem,) = check_layers.check_types(self.root)
        self.assertIn("lib/sim/src/sim.cpp:7: rooftune::a::Point is another type at lib/core/include/rooftune/core/core.hpp:6", problem)

    def test_finds_decisions_of_one_number_and_those_that_are_not_there(self):
        folder = self.root / "docs" / "adr"
        folder.mkdir(parents=True)
        for name in ("0001-a.md", "0002-b.md", "0002-c.md"):
            (folder / name).write_text("")
        (problem,) = check_layers.check_decisions(self.root)
        self.assertIn("0002-b.md and 0002-c.md have one number", problem)
        text = "as ADR 1 says\n(docs/adr/0002), AD" "R [0003](ad" "r/0003-x.md)\n"
        named = list(check_layers.check_decisions_named("a.md", text, check_layers.decisions(self.root)))
        self.assertEqual([line.split(":")[1] for line in named], ["2", "2"])

    def test_finds_machine_paths_and_unfinished_work(self):
        for line in ("cd /wor" "k/main", "see /tm" "p/x/y", "// TO" "DO later", "throw not imple" "mented", "TEST(A, DISAB" "LED_b)"):
            self.assertEqual(len(list(check_layers.check_text("a.cpp", line))), 1, line)
        for line in ("homework/tasks", "build/" "root/x", "a prefix/" "work/b", "https://example.org/work", "mkdtemp(/tmp)"):
            self.assertEqual(list(check_layers.check_text("a.cpp", line)), [], line)


if __name__ == "__main__":
    unittest.main()
