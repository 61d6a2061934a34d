# What travels in an update: root.img (squashfs with its dm-verity tree behind it) and boot.img (kernel, initramfs and
# the root hash). The boot slot is a squashfs of its own since GRUB reads no zstd; uncompressed, for both of its files are.
# shellcheck shell=bash
make_slots() {
  local size root_hash
  say "slots: squashfs, zstd level 15"
  rm -rf "$build_dir/slots" "$build_dir/boot"
  mkdir -p "$build_dir/slots" "$build_dir/boot"
  cp "$root.boot/vmlinuz" "$root.boot/initrd.img" "$build_dir/boot/"
  in_workshop mksquashfs "/work/${root#"$build_dir"/}" /work/slots/root.img -comp zstd -Xcompression-level 15 -b 256K \
    -noappend -no-progress -quiet -xattrs
  size=$(stat -c %s "$build_dir/slots/root.img")
  ((size % 4096 == 0)) || die "the squashfs is not padded to 4 KiB"
  # mksquashfs takes every time from SOURCE_DATE_EPOCH. A salt from the content's time: the same root gives the same hash.
  in_workshop veritysetup format /work/slots/root.img /work/slots/root.img --hash-offset="$size" \
    --salt="$(printf %s "$compatible-$version" | sha256sum | cut -c1-64)" --uuid=4b696c6e-0000-4000-8000-000000000001 \
    >"$build_dir/slots/verity.txt"
  root_hash=$(awk '/Root hash/ { print $3 }' "$build_dir/slots/verity.txt")
  (($(stat -c %s "$build_dir/slots/root.img") <= root_slot_bytes)) || die "the root is larger than its slot"
  echo "set slot_args=\"kiln.roothash=$root_hash kiln.hashoffset=$size\"" >"$build_dir/boot/slot.cfg"
  in_workshop mksquashfs /work/boot /work/slots/boot.img -noI -noD -noF -noX -no-fragments -noappend -no-progress -quiet \
    -all-root
  (($(stat -c %s "$build_dir/slots/boot.img") <= boot_slot_bytes)) || die "kernel and initramfs are larger than their slot"
}
