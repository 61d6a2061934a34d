# The update bundle: both slot images, signed.
# shellcheck shell=bash
make_bundle() {
  say "bundle: signed with ${signing_key:-THE DEVELOPMENT KEY: for tests, never for a farm}"
  local stage=$build_dir/bundle keys=$build_dir/../keys
  rm -rf "$stage" "$build_dir/bundle.raucb" && mkdir -p "$stage" "$build_dir/signing"
  ln "$build_dir/slots/root.img" "$build_dir/slots/boot.img" "$stage/"
  cat >"$stage/manifest.raucm" <<E2
[update]
compatible=$compatible
version=$version

[bundle]
format=verity

[image.root]
filename=root.img

[image.boot]
filename=boot.img
E2
  cp "${signing_key:-$keys/development.key}" "$build_dir/signing/key.pem"
  cp "${signing_certificate:-$keys/development.pem}" "$build_dir/signing/certificate.pem"
  in_workshop rauc --cert=/work/signing/certificate.pem --key=/work/signing/key.pem bundle /work/bundle /work/bundle.raucb \
    >"$build_dir/rauc.log" 2>&1 || { tail -5 "$build_dir/rauc.log" >&2; die "rauc bundle failed"; }
  rm -rf "$build_dir/signing"
  mkdir -p "$output"
  mv "$build_dir/bundle.raucb" "$output/$image_name.raucb"
}
# A CA and a signing key for builds that nobody ships: made once, in a folder that git ignores.
make_keys() {
  local keys=$build_dir/../keys
  [[ ! -f $keys/development.pem ]] || return 0
  say "keys: making a DEVELOPMENT certificate authority in build/image/keys; whoever has it can update these boxes"
  mkdir -p "$keys" && chmod 700 "$keys"
  (
    umask 077 && cd "$keys"
    # Valid from 2020: a box whose clock stands at the build time accepts it.
    openssl ecparam -name prime256v1 -genkey -noout -out development-ca.key
    openssl req -x509 -new -key development-ca.key -sha256 -days 36500 -subj "/O=Kiln/CN=KILN DEVELOPMENT CA - NOT FOR A FARM" \
      -addext keyUsage=critical,keyCertSign,cRLSign -out development-ca.pem
    openssl ecparam -name prime256v1 -genkey -noout -out development.key
    openssl req -new -key development.key -subj "/O=Kiln/CN=KILN DEVELOPMENT SIGNING KEY" -out development.csr
    printf '[x]\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection,codeSigning\n' >x.cnf
    openssl x509 -req -in development.csr -CA development-ca.pem -CAkey development-ca.key -CAcreateserial -sha256 -days 36500 \
      -extfile x.cnf -extensions x -out development.pem
    rm -f development.csr x.cnf
  ) 2>/dev/null
}
