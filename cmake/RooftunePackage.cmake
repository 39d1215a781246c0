# Debian packages by CPack (scripts/release.sh): `rooftune`, the program with its data, `rooftune-dev`, the library, and
# `python3-rooftune`, the module.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME rooftune)
set(CPACK_PACKAGE_CONTACT "The rooftune authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program development)
if(ROOFTUNE_HAS_PYTHON)
  list(APPEND CPACK_COMPONENTS_ALL python)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME rooftune)
# Which shared libraries the program needs is read from the program.
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "libjs-vega, openmpi-bin")  # plots of HTML reports; several processes

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME rooftune-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "rooftune (= ${PROJECT_VERSION}), libboost-math-dev, libceres-dev, libcurl4-openssl-dev, libexpected-dev, libfmt-dev, libmuparser-dev, libnlopt-cxx-dev, libre2-dev, libsqlitecpp-dev, libssl-dev, libtbb-dev, libyaml-cpp-dev, nlohmann-json3-dev")

set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-rooftune)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS ON)
# A module of C++ is for one minor version of the interpreter.
math(EXPR rooftune_next_python "${Python_VERSION_MINOR} + 1")
set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "rooftune (= ${PROJECT_VERSION}), python3 (>= 3.${Python_VERSION_MINOR}), python3 (<< 3.${rooftune_next_python}), python3-numpy")
set(CPACK_DEBIAN_PYTHON_PACKAGE_RECOMMENDS "python3-pandas, python3-matplotlib")
set(CPACK_DEBIAN_PYTHON_PACKAGE_SUGGESTS "python3-scipy, python3-lmfit")
include(CPack)
