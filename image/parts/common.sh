# What all parts share: where things are, the mirror, running a command in the suite's workshop.
# shellcheck shell=bash

say() { printf '%(%H:%M:%S)T %s\n' -1 "$*" >&2; }
die() {
  printf 'image/build: %s\n' "$*" >&2
  exit 1
}

# The packages of the named lists for this suite and variant, one a line.
package_list() {
  local name
  for name in "$@"; do
    sed -E -e 's/#.*//' -e "s/^([a-z]+,)*($suite|$variant)(,[a-z]+)*: *//" -e '/^[a-z,]*: /d' -e 's/[[:space:]]*$//' -e '/^$/d' "$source_dir/image/packages/$name"
  done
}

# deb lines of the suite from the Debian mirror that this machine's apt uses, so that a local mirror or a snapshot
# serves here as well. $1: components.
sources() {
  local components=$1 archive security
  archive=$(apt_uri '') security=$(apt_uri -security)
  [[ -n $archive ]] || die "apt on this machine knows no Debian archive; put one into /etc/apt/sources.list.d"
  printf 'deb [signed-by=%s] %s %s %s\n' "$keyring" "$archive" "$suite" "$components" \
    "$keyring" "$archive" "$suite-updates" "$components"
  [[ -z $security ]] || printf 'deb [signed-by=%s] %s %s-security %s\n' "$keyring" "$security" "$suite" "$components"
}
# Where this machine's own release comes from; --no-release-info, since the lists may never have been fetched.
apt_uri() {
  local codename
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$codename$1" '$1 == release { print $2; exit }'
}

# Runs a command in the workshop, in a mount namespace of its own: /source is the project (read-only), /work the build.
# What its compiler made serves other checkouts of this user too: its paths are the same in each.
in_workshop() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/kiln-image/$suite
  mkdir -p "$workshop/source" "$workshop/work" "$workshop/ccache" "$cache"
  unshare --mount --pid --fork --propagation private -- bash -euo pipefail -c '
    workshop=$1 source=$2 work=$3 cache=$4; shift 4
    mount --bind "$source" "$workshop/source"
    mount -o remount,bind,ro "$workshop/source"
    mount --bind "$work" "$workshop/work"
    mount --bind "$cache" "$workshop/ccache"
    mount -t proc proc "$workshop/proc"
    mount --rbind /dev "$workshop/dev"
    exec chroot "$workshop" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 \
      CCACHE_DIR=/ccache SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" "$@"
  ' in_workshop "$workshop" "$source_dir" "$build_dir" "$cache" "$@"
}
