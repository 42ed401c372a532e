#!/bin/sh
# fetch-kernel.sh ARCHITECTURE ROOT: downloads the packages of the kernel whose headers are installed in ROOT.
# Headers, kernel and modules come from one source package: where one version's headers are, its kernel is, too.
set -eu
architecture=$1
root=$2
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"

version=$(basename "$root"/usr/src/linux-headers-*-"$architecture")
version=${version#linux-headers-}
echo "$version" >"$root/build/version"
cd "$root/build"
apt-get -o APT::Sandbox::User=root download \
    "linux-binary-$version:$architecture" "linux-modules-$version:$architecture"
