#!/usr/bin/env bash
# Makes the image's tree with mmdebstrap from Debian packages and ours, and runs rooftune and mpirun in it.
#   make_root.sh DEB ROOT.tar
# Then a file of two lines is an image: FROM scratch, ADD ROOT.tar /
set -euo pipefail
package=${1:?give the package: make_root.sh DEB ROOT.tar}
target=${2:?give the archive to make: make_root.sh DEB ROOT.tar}
here=$(dirname "${BASH_SOURCE[0]}")
command -v mmdebstrap >/dev/null || { echo "error: mmdebstrap is missing (install it)" >&2; exit 1; }
name=$(basename "$package")
mmdebstrap --variant=apt --aptopt='APT::Install-Recommends "false"' --include=openmpi-bin,openssh-server,openssh-client \
  --customize-hook="copy-in $package $here/set_up.sh /opt" \
  --customize-hook='chroot "$1" apt-get install --yes /opt/'"$name" \
  --customize-hook='chroot "$1" sh /opt/set_up.sh' \
  --customize-hook='chroot "$1" su rooftune -c "cd && mpirun --oversubscribe -n 2 rooftune crossval /usr/share/rooftune/experiments/crossval_model.yaml --out run && test -s run/result.json && rm -rf run"' \
  --customize-hook='rm -rf "$1"/opt/* "$1"/var/lib/apt/lists/*' \
  bookworm "$target"
