# NVIDIA's kernel modules, built in the workshop for the kernel of the image: a box has no compiler. Kept between builds, beside
# the base that they are for.
# shellcheck shell=bash
make_modules() {
  local kernel modules
  kernel=$(cd "$base/usr/lib/modules" && ls | sort -V | tail -1)
  modules=$build_dir/modules-$kernel
  if [[ ! -f $modules/.made ]]; then
    say "modules: NVIDIA's, for Linux $kernel"
    rm -rf "$modules" && mkdir -p "$modules"
    sources "main contrib non-free non-free-firmware" >"$workshop/etc/apt/sources.list.d/nvidia.list"
    # Modules are not signed: a key that is made here and thrown away would tell nobody anything.
    mkdir -p "$workshop/etc/dkms/framework.conf.d"
    echo "sign_file=/nonexistent" >"$workshop/etc/dkms/framework.conf.d/kiln.conf"
    { install_in_workshop "linux-headers-$kernel" dkms && install_in_workshop nvidia-kernel-dkms && in_workshop bash -euo pipefail -c '
      kernel=$1
      driver=$(dkms status | sed -n "s|^\(nvidia[^/]*/[^,:]*\).*|\1|p" | head -1)
      built=/var/lib/dkms/$driver/$kernel/x86_64/module  # by the installation, in its suite'"'"'s manner
      [[ -d $built ]] || dkms build "$driver" -k "$kernel"
      cp "$built"/* "/work/modules-$kernel/"
      dpkg-query -W -f "\${Version}\n" nvidia-kernel-dkms >"/work/modules-$kernel/.made"
    ' make_modules "$kernel"; } >"$build_dir/modules.log" 2>&1 || { tail -20 "$build_dir/modules.log" >&2; die "NVIDIA's modules cannot be built"; }
  fi
  # The driver's two halves speak to each other in one version only.
  [[ $(chroot "$base" dpkg-query -W -f '${Version}' libcuda1) == "$(<"$modules/.made")" ]] ||
    die "NVIDIA's modules and libraries differ in version: remove $base and $modules, and build again"
  install -D -m 0644 -t "$root/usr/lib/modules/$kernel/updates/dkms" "$modules"/*.ko*
}
