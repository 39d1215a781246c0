# Compiler options of our own targets; never exported.
add_library(rooftune_build_options INTERFACE)
target_compile_options(rooftune_build_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  # At -O3 g++ 12 sees overflows in fmt 9.1's parser of format strings, overlaps in std::string's operator+ and uninitialised
  # members in temporaries that are none (GCC bug 105651 and its kin); the sanitizer presets look for real ones.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow> $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
  # Bits must not depend on whether the compiler contracted a*b+c.
  -ffp-contract=off -fno-math-errno)
if(ROOFTUNE_WARNINGS_AS_ERRORS)
  target_compile_options(rooftune_build_options INTERFACE -Werror)
endif()
# Code that waits for others: what is read, printed or put together there takes milliseconds beside the simulations between, and
# compiles in two thirds of the time at -O1. Arithmetic gives the same bits at every level.
add_library(rooftune_glue_options INTERFACE)
target_compile_options(rooftune_glue_options INTERFACE $<$<CONFIG:Release>:-O1>)
if(ROOFTUNE_SANITIZE)
  add_compile_options(-fsanitize=${ROOFTUNE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ROOFTUNE_SANITIZE})
endif()
# OSS-Fuzz brings its own flags.
if(ROOFTUNE_FUZZ AND NOT DEFINED ENV{FUZZING_ENGINE})
  add_compile_options(-fsanitize=fuzzer-no-link,address -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address)
endif()
if(ROOFTUNE_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
