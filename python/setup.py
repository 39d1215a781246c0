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
VERSION = re.search(r"^project\(rooftune VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text(), re.MULTILINE).group(1)


class BuildWithCMake(build_ext):
    def build_extension(self, extension):
        package = pathlib.Path(self.get_ext_fullpath(extension.name)).resolve().parent
        build = pathlib.Path(self.build_temp).resolve()
        installed = package / "installed"
        # Prefixes and rpaths of the build are nobody else's: CMake installs from its own folder.
        options = [f"-DCMAKE_INSTALL_PREFIX={installed}", f"-DROOFTUNE_PYTHON={sys.executable}", "-DROOFTUNE_PYTHON_DIR=module",
                   "-DROOFTUNE_BUILD_PYTHON=ON", "-DROOFTUNE_BUILD_TESTS=OFF", "-DROOFTUNE_BUILD_BENCHMARKS=OFF", "-DCMAKE_BUILD_TYPE=Release",
                   "-DCMAKE_CXX_FLAGS_RELEASE=-O3", "-G", "Ninja"]
        if shutil.which("ccache"):
            options.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count())
        subprocess.run(["cmake", "-S", SOURCE, "-B", build, *options], check=True)
        subprocess.run(["cmake", "--build", build, "--parallel", jobs, "--target", "rooftune_python", "rooftune", "rooftune_help"], check=True)
        for component in ("program", "python"):
            subprocess.run(["cmake", "--install", build, "--component", component, "--strip"], check=True)
        (module,) = (installed / "module/rooftune").glob("_core*.so")
        shutil.move(module, package / module.name)
        shutil.rmtree(installed / "module")


# The extension's own sources are CMake's business.
setup(version=VERSION, ext_modules=[Extension("rooftune._core", sources=[])], cmdclass={"build_ext": BuildWithCMake})
