// Bundles the page and turns it into C++: node build.mjs [OUT_DIR]
// Writes OUT_DIR/dist/* (the page as files), OUT_DIR/assets.S (their gzipped bytes) and OUT_DIR/assets.cpp
// (the table that web/assets.h declares).
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "build"));
const dist = join(out, "dist");
const contentTypes = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  jsx: "automatic",
  jsxImportSource: "preact",
  outdir: dist,
  logLevel: "warning",
});
for (const name of readdirSync(join(here, "static"))) copyFileSync(join(here, "static", name), join(dist, name));

let assembly = ".section .rodata\n";
let declarations = "";
let rows = "";
for (const [i, name] of readdirSync(dist).sort().entries()) {
  const type = contentTypes[extname(name)];
  if (!type) throw new Error(`${name}: no content type for it in build.mjs`);
  const bytes = readFileSync(join(dist, name));
  const packed = join(out, `${name}.gz`);
  writeFileSync(packed, gzipSync(bytes, { level: 9 }));
  const etag = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  assembly += `.global kiln_asset_${i}\n.global kiln_asset_${i}_end\nkiln_asset_${i}:\n.incbin "${packed}"\nkiln_asset_${i}_end:\n`;
  declarations += `extern const char kiln_asset_${i}[];\nextern const char kiln_asset_${i}_end[];\n`;
  rows += `    {"/${name}", "${type}", {kiln_asset_${i}, static_cast<std::size_t>(kiln_asset_${i}_end - kiln_asset_${i})}, "\\"${etag}\\""},\n`;
}
assembly += '.section .note.GNU-stack,"",@progbits\n'; // data only: the stack stays non-executable
writeFileSync(join(out, "assets.S"), assembly);
writeFileSync(
  join(out, "assets.cpp"),
  `// Written by controller/web/build.mjs.
#include "web/assets.h"

extern "C" {
${declarations}}

namespace kiln::web {

const std::vector<Asset>& assets() {
  static const std::vector<Asset> all = {
${rows}  };
  return all;
}

}  // namespace kiln::web
`,
);
