# Our own packages, built in the workshop: only the targets that the box's packages hold.
# shellcheck shell=bash
make_debs() {
  say "debs: building kiln-agent and kiln-box for $suite"
  # The page is the controller's; its tools are not needed here.
  in_workshop cmake -S /source -B /work/debs -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
    -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_SKIP_INSTALL_ALL_DEPENDENCY=ON -DNPM=/bin/false -DNODE=/bin/false \
    -DKILN_WERROR=OFF >"$build_dir/cmake.log" 2>&1 || { tail -20 "$build_dir/cmake.log" >&2; die "cmake failed"; }
  # What a package holds is what is built: the targets that install into its component.
  in_workshop ninja -C /work/debs kiln-agent kiln-resident kiln-cage kiln-box
  rm -f "$build_dir"/debs/*.deb
  in_workshop bash -c 'cd /work/debs && cpack -G DEB -D CPACK_COMPONENTS_ALL="kiln-agent;kiln-box"' \
    >"$build_dir/cpack.log" 2>&1 || { tail -20 "$build_dir/cpack.log" >&2; die "cpack failed"; }
}
