# The root file system, in two steps: Debian's packages, which are kept between builds; our own and image/files on top.
# shellcheck shell=bash
base=
make_root() {
  make_base
  say "root: our packages and files"
  rm -rf "$root"
  cp -a "$base" "$root" && rm "$root/.made"
  [[ $variant != nvidia ]] || make_modules
  unshare --mount --pid --fork --propagation private -- bash -euo pipefail -c '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    "$@" "$root"
  ' make_root "$root" "$source_dir/image/parts/customize" "$source_dir" "$build_dir" "$compatible" "$version" \
    "${ca:-$build_dir/../keys/development-ca.pem}" "$programs" >"$build_dir/customize.log" 2>&1 ||
    { tail -20 "$build_dir/customize.log" >&2; die "customize failed"; }
}

# Made anew when the lists change; remove build/image/SUITE/base-VARIANT for Debian's newest versions.
make_base() {
  local lists=(base) components="main non-free-firmware" left_out=() line wanted
  base=$build_dir/base-$variant
  [[ $variant == bare ]] || lists+=("$variant")
  [[ $variant != nvidia ]] || components+=" contrib non-free"
  [[ $suite != bookworm ]] || components="${components} contrib"
  wanted=$({ package_list "${lists[@]}" left-out && our_dependencies; } | sort -u | sha256sum)
  if [[ -f $base/.made && $(<"$base/.made") == "$wanted" ]]; then return; fi
  say "root: $suite, ${lists[*]}"
  while read -r line; do left_out+=("--dpkgopt=path-${line%% *}=${line#* }"); done < <(package_list left-out)
  rm -rf "$base"
  # No apt in a system that is replaced as a whole; dpkg's list stays, to tell what is in it.
  sources "$components" | mmdebstrap --mode=root --variant=essential --quiet \
    --include="$({ package_list "${lists[@]}" && our_dependencies; } | sort -u | paste -sd,)" \
    "${left_out[@]}" \
    --aptopt='APT::Install-Recommends "false"' \
    --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/kernel" && echo "do_initrd = no" >"$1/etc/kernel-img.conf"' \
    "$suite" "$base" -
  echo "$wanted" >"$base/.made"
}

# What our packages need beside each other, the first of alternatives, one a line.
our_dependencies() {
  local deb
  for deb in "$build_dir"/debs/*.deb; do dpkg-deb --field "$deb" Depends; done |
    tr ',' '\n' | sed -e 's/|.*//' -e 's/([^)]*)//' -e 's/[[:space:]]//g' | grep -v '^kiln' | sort -u
}
