"""The wheel: the module and the program as CMake builds them, with the data that ships.

    pip wheel --no-build-isolation ./python

Debian's packages build it (scripts/install_dependencies.sh), without a network: setuptools is the backend because scikit-build-core is
not in Debian 12. The libraries that rooftune links (Ceres, NLopt ...) are not in the wheel: it is for the system that built it.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = pathlib.Path(__file__).resolve().parent.parent
# In a folder that git ignores, as deep as those of the presets: a compiler cache that strips a common prefix knows their objects.
BUILD = SOURCE / "build/wheel"
VERSION = re.search(r"^project\(rooftune VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text(), re.MULTILINE).group(1)


class BuildWithCMake(build_ext):
    def build_extension(self, extension):
        package = pathlib.Path(self.get_ext_fullpath(extension.name)).resolve().parent
        installed = package / "installed"
        # Prefixes and rpaths of the build are nobody else's: CMake installs from its own folder.
        options = [f"-DCMAKE_INSTALL_PREFIX={installed}", f"-DROOFTUNE_PYTHON={sys.executable}", "-DROOFTUNE_PYTHON_DIR=module",
                   "-DROOFTUNE_BUILD_PYTHON=ON", "-DROOFTUNE_BUILD_TESTS=OFF", "-DROOFTUNE_BUILD_BENCHMARKS=OFF", "-DCMAKE_BUILD_TYPE=Release",
                   "-DCMAKE_CXX_FLAGS_RELEASE=-O3", "-G", "Ninja"]
        if shutil.which("ccache"):
            options.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count())
        subprocess.run(["cmake", "-S", SOURCE, "-B", BUILD, *options], check=True)
        subprocess.run(["cmake", "--build", BUILD, "--parallel", jobs, "--target", "rooftune_python", "rooftune", "rooftune_help"], check=True)
        for component in ("program", "python"):
            subprocess.run(["cmake", "--install", BUILD, "--component", component, "--strip"], check=True)
        (module,) = (installed / "module/rooftune").glob("_core*.so")
        shutil.move(module, package / module.name)
        shutil.rmtree(installed / "module")


(BUILD / "setuptools").mkdir(parents=True, exist_ok=True)
# The extension's own sources are CMake's business.
setup(version=VERSION, ext_modules=[Extension("rooftune._core", sources=[])], cmdclass={"build_ext": BuildWithCMake},
      options={"build": {"build_base": str(BUILD / "setuptools")}, "egg_info": {"egg_base": str(BUILD / "setuptools")}})
