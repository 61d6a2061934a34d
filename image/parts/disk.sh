# The disk image: ESP, kiln-config, boot A, root A. Slot B and data are made at first boot, by the size of the disk.
# shellcheck shell=bash
make_disk() {
  say "disk: GRUB, partitions"
  local esp=$build_dir/esp.img config=$build_dir/config.img stage=$build_dir/stage
  rm -rf "$stage" "$esp" "$config"
  mkdir -p "$stage"
  # Standalone: its modules and grub.cfg are inside, so the ESP holds nothing that could miss.
  cp "$source_dir/image/grub.cfg" "$stage/grub.cfg"
  in_workshop grub-mkstandalone --format=x86_64-efi --output=/work/stage/BOOTX64.EFI --compress=no --locales= --fonts= --themes= \
    --modules="part_gpt fat squash4 regexp probe loadenv test echo linux normal configfile search search_fs_file search_fs_uuid all_video efifwsetup sleep minicmd" \
    --install-modules="part_gpt fat squash4 regexp probe loadenv test echo linux normal configfile search search_fs_file search_fs_uuid all_video efifwsetup sleep minicmd reboot halt" \
    "boot/grub/grub.cfg=/work/stage/grub.cfg"
  boot_environment >"$stage/grubenv"
  cp "$source_dir/image/kiln.toml" "$stage/kiln.toml"
  sed 's/$/\r/' "$source_dir/image/config-README.txt" >"$stage/README.txt"
  find "$stage" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
  in_workshop bash -euc '
    mkfs.vfat -F 32 -i 4b694c01 -n KILN-ESP --invariant -C /work/esp.img 65536 >/dev/null
    mkfs.vfat -F 16 -i 4b694c02 -n KILN-CONFIG --invariant -C /work/config.img 32768 >/dev/null
    cd /work/stage
    mmd -i /work/esp.img ::/EFI ::/EFI/BOOT ::/kiln
    mcopy -m -i /work/esp.img BOOTX64.EFI ::/EFI/BOOT/BOOTX64.EFI
    mcopy -m -i /work/esp.img grubenv ::/kiln/grubenv
    mcopy -m -i /work/esp.img grubenv ::/kiln/grubenv.good
    mcopy -m -i /work/config.img kiln.toml README.txt ::/'
  # Fixed ids: the first boot gives the disk ids of its own, and two disks that both lack them are told apart by nobody.
  cat >"$build_dir/genimage.cfg" <<E2
image disk.img {
  hdimage {
    partition-table-type = "gpt"
    align = 1M
    disk-uuid = "4b696c6e-6469-4000-8000-736b00000000"
  }
  partition esp { image = "/work/esp.img" partition-type-uuid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" partition-uuid = "4b696c6e-6469-4000-8000-736b00000001" }
  partition kiln-config { image = "/work/config.img" partition-type-uuid = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" partition-uuid = "4b696c6e-6469-4000-8000-736b00000002" }
  partition boot-a { image = "/work/slots/boot.img" size = $boot_slot_bytes partition-type-uuid = "0fc63daf-8483-4772-8e79-3d69d8477de4" partition-uuid = "4b696c6e-6469-4000-8000-736b00000003" }
  partition root-a { image = "/work/slots/root.img" size = $root_slot_bytes partition-type-uuid = "0fc63daf-8483-4772-8e79-3d69d8477de4" partition-uuid = "4b696c6e-6469-4000-8000-736b00000004" }
}
E2
  rm -rf "$build_dir/disk" && mkdir -p "$build_dir/disk/empty"
  in_workshop genimage --config /work/genimage.cfg --rootpath /work/disk/empty --inputpath / --outputpath /work/disk \
    --tmppath /work/disk/tmp >"$build_dir/genimage.log" 2>&1 || { tail -5 "$build_dir/genimage.log" >&2; die "genimage failed"; }
}
boot_environment() {  # 1024 bytes, as GRUB wants it
  local text=$'# GRUB Environment Block\nORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=0\n'
  printf '%s' "$text"
  head -c $((1024 - ${#text})) /dev/zero | tr '\0' '#'
}
pack_disk() {
  say "disk: block map, compressed"
  in_workshop bash -euc '
    cd /work/disk
    bmaptool --quiet create -o disk.bmap disk.img
    zstd --quiet --force -T0 -9 disk.img -o disk.img.zst'
  mkdir -p "$output"
  cp --sparse=always "$build_dir/disk/disk.img" "$output/$image_name.img"
  mv "$build_dir/disk/disk.img.zst" "$output/$image_name.img.zst"
  mv "$build_dir/disk/disk.bmap" "$output/$image_name.bmap"
}
