#!/usr/bin/env bash
# Makes a release of the last commit in dist/: an archive of the sources, and Debian packages that are built from it.
#   release.sh [--tag] [--try]
# --tag tags the commit v<version of CMakeLists.txt>; what is not committed, or not in CHANGELOG.md, is refused.
# --try installs the packages on a bare bookworm (mmdebstrap), runs the quickstart's study there, uses a tuned config by its name, looks
# for manual page and completions, builds a program with the library, and imports the Python module.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

tag=no
try=no
for argument in "$@"; do
  case $argument in
    --tag) tag=yes ;;
    --try) try=yes ;;
    *) die "unknown argument '$argument' (known: --tag, --try)" ;;
  esac
done

version=$(sed -n 's/^project(rooftune VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
[ -n "$version" ] || die "CMakeLists.txt names no version"
[ -z "$(git status --porcelain)" ] || die "not all is committed, and a release is made of a commit (git status)"
grep -q "^## $version\b" CHANGELOG.md || die "CHANGELOG.md says nothing about $version (add '## $version')"

bash scripts/install_dependencies.sh --without-browser
command -v dpkg-shlibdeps >/dev/null || die "what the package depends on is read by dpkg-shlibdeps (install dpkg-dev)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dist=$PWD/dist
mkdir -p "$dist"

heading "sources"
name=rooftune-$version
git archive --format=tar --prefix="$name/" HEAD | gzip --no-name --best >"$dist/$name.tar.gz"
tar -xzf "$dist/$name.tar.gz" -C "$work"

heading "packages"
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
(
  cd "$work/$name"
  quietly cmake --preset release "${launcher[@]}" -DCMAKE_INSTALL_PREFIX=/usr -DROOFTUNE_BUILD_TESTS=OFF -DROOFTUNE_BUILD_BENCHMARKS=OFF -DROOFTUNE_BUILD_PYTHON=ON
  cmake --build --preset release --parallel "$(jobs)"
  quietly cpack --config build/release/CPackConfig.cmake -B "$work/packages"
)
cp "$work"/packages/*.deb "$dist"
ls -l "$dist"

if [ "$try" = yes ]; then
  heading "on a bare bookworm"
  command -v mmdebstrap >/dev/null || die "a bare system is made by mmdebstrap (install it)"
  packages=("$dist"/{rooftune,rooftune-dev,python3-rooftune}_"${version}_"*.deb)
  for package in "${packages[@]}"; do [ -f "$package" ] || die "$package was not made (install what install_dependencies.sh lists)"; done
  # The hooks run on the system while it stands; nothing of it is kept. apt takes the packages' own dependencies, no recommended ones.
  mmdebstrap --variant=apt --aptopt='APT::Install-Recommends "false"' \
    --customize-hook="copy-in ${packages[*]} $PWD/tests/consumer $PWD/scripts/try_packages.sh /srv" \
    --customize-hook='chroot "$1" bash /srv/try_packages.sh' \
    bookworm /dev/null
fi

if [ "$tag" = yes ]; then git tag --annotate "v$version" --message "rooftune $version"; fi
say ""
say "dist/ holds rooftune $version of $(git rev-parse --short HEAD)"
