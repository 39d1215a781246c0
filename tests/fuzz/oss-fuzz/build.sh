#!/bin/bash -eu
# What OSS-Fuzz runs in its container: $SRC/rooftune is the checkout, programs and corpora go to $OUT.
cd "$SRC/rooftune"
cmake -S . -B "$WORK/build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_CXX_FLAGS="$CXXFLAGS" \
  -DROOFTUNE_FUZZ=ON -DROOFTUNE_FUZZ_ENGINE="$LIB_FUZZING_ENGINE" -DROOFTUNE_PARALLEL_BACKEND=jthread -DROOFTUNE_BUILD_BENCHMARKS=OFF \
  -DROOFTUNE_WARNINGS_AS_ERRORS=OFF
cmake --build "$WORK/build" --target rooftune_fuzz
while read -r target; do
  cp "$WORK/build/bin/rooftune_fuzz" "$OUT/fuzz_$target"
  # A target without seeds fails the short run of every build; here it starts from nothing.
  [ ! -d "$WORK/build/fuzz_corpus/$target" ] || (cd "$WORK/build/fuzz_corpus/$target" && zip -q -r "$OUT/fuzz_${target}_seed_corpus.zip" .)
  if [ -f "tests/fuzz/dictionaries/$target.dict" ]; then cp "tests/fuzz/dictionaries/$target.dict" "$OUT/fuzz_$target.dict"; fi
done <tests/fuzz/targets.txt
