# The workshop: a chroot of the image's suite with compilers and image tools. Kiln's programs are built in it, since
# programs built on another suite would need that suite's libraries; and its GRUB, RAUC and dm-verity tools are of the
# versions that the box runs. Kept between builds; remove build/image/SUITE/workshop to have it made anew.
# shellcheck shell=bash
make_workshop() {
  local wanted
  wanted=$(package_list workshop | sha256sum)
  if [[ -f $workshop/.made && $(<"$workshop/.made") == "$wanted" ]]; then return; fi
  if [[ -f $workshop/.made ]] && more_in_workshop; then
    echo "$wanted" >"$workshop/.made"
    return
  fi
  say "workshop: bootstrapping $suite with compilers and image tools"
  rm -rf "$workshop"
  sources main | mmdebstrap --mode=root --variant=apt --quiet \
    --include="$(package_list workshop | paste -sd,)" \
    --dpkgopt=path-exclude='/usr/share/man/*' --dpkgopt=path-exclude='/usr/share/doc/*' \
    "$suite" "$workshop" -
  echo "$wanted" >"$workshop/.made"
}
# The list has grown: only what is new is fetched. Fails where the workshop has to be made anew.
more_in_workshop() {
  say "workshop: adding what is new in its list"
  # shellcheck disable=SC2046
  install_in_workshop $(package_list workshop) >"$build_dir/workshop.log" 2>&1
}
# Debian packages, into a workshop that stands.
install_in_workshop() {
  cp /etc/resolv.conf /etc/hosts "$workshop/etc/"
  in_workshop env DEBIAN_FRONTEND=noninteractive bash -c \
    'apt-get -qq update && apt-get -qq install --yes --no-install-recommends "$@"' install_in_workshop "$@"
}
