# `--check`: what can be known without building.
# shellcheck shell=bash
check_image() {
  local failed=0 file list
  complain() { echo "$*" && failed=1; }
  for file in "$source_dir"/image/build "$source_dir"/image/parts/*; do
    bash -n "$file" || failed=1
  done
  for file in "$source_dir"/image/initramfs/scripts/kiln "$source_dir"/image/initramfs/hooks/kiln "$source_dir"/image/files/usr/lib/kiln/bootslots; do
    sh -n "$file" || failed=1
  done
  for list in "$source_dir"/image/packages/*; do
    [[ $list == *.md || $list == */left-out ]] && continue
    [[ -z $(package_list "${list##*/}" | sort | uniq -d) ]] || complain "$list: named twice: $(package_list "${list##*/}" | sort | uniq -d | paste -sd' ')"
    [[ -z $(package_list "${list##*/}" | grep -v '^[a-z0-9][a-z0-9.+-]*$') ]] || complain "$list: no package names: $(package_list "${list##*/}" | grep -v '^[a-z0-9][a-z0-9.+-]*$')"
  done
  # Every unit that the image starts is one that it has, or Debian's.
  for file in $(sed -n '/^unit enable/,/[^\\]$/p' "$source_dir/image/parts/customize" | grep -o 'kiln-[a-z]*\.[a-z]*'); do
    [[ -e $source_dir/image/files/usr/lib/systemd/system/$file || -e $source_dir/systemd/$file ]] || complain "parts/customize enables $file, which is nowhere"
  done
  if command -v grub-script-check >/dev/null; then grub-script-check "$source_dir/image/grub.cfg" || failed=1; fi
  ((failed == 0)) && echo "image/build --check: nothing wrong"
}
