# The root file system: Debian's packages, our own, and image/files on top.
# shellcheck shell=bash

make_root() {
  local lists=(base) components="main non-free-firmware"
  [[ $variant == bare ]] || lists+=("$variant")
  [[ $variant != nvidia ]] || components+=" contrib non-free"
  [[ $suite != bookworm ]] || components="${components} contrib"
  say "root: $suite, ${lists[*]}"
  local left_out=() line
  while read -r line; do left_out+=("--dpkgopt=path-${line%% *}=${line#* }"); done < <(package_list left-out)
  rm -rf "$root"
  # No apt in a system that is replaced as a whole; dpkg's list stays, to tell what is in it.
  sources "$components" | mmdebstrap --mode=root --variant=essential --quiet \
    --include="$({ package_list "${lists[@]}" && our_dependencies; } | paste -sd,)" \
    "${left_out[@]}" \
    --aptopt='APT::Install-Recommends "false"' \
    --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/kernel" && echo "do_initrd = no" >"$1/etc/kernel-img.conf"' \
    --customize-hook="$source_dir/image/parts/customize '$source_dir' '$build_dir' '$compatible' '$version' '${ca:-$build_dir/../keys/development-ca.pem}' \"\$1\"" \
    "$suite" "$root" -
}

# What our packages need beside each other, the first of alternatives, one a line.
our_dependencies() {
  local deb
  for deb in "$build_dir"/debs/*.deb; do dpkg-deb --field "$deb" Depends; done |
    tr ',' '\n' | sed -e 's/|.*//' -e 's/([^)]*)//' -e 's/[[:space:]]//g' | grep -v '^kiln' | sort -u
}
