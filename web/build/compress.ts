// After the bundle is written: a brotli and a gzip twin of every text, and the budget of what a first visit has to load.
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** Initial JavaScript at most, in bytes after gzip. */
const BUDGET = 150 * 1024;
/** Smaller files gain nothing. */
const WORTH = 860;

function* files(folder: string): Generator<string> {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else yield path;
  }
}

/** Compresses the output and fails the build when the initial scripts exceed the budget. */
export function compress(): Plugin {
  let out = "dist";
  return {
    name: "compress-and-measure",
    apply: "build",
    configResolved(config) {
      out = join(config.root, config.build.outDir);
    },
    closeBundle() {
      const html = readFileSync(join(out, "index.html"), "utf8");
      let initial = 0;
      for (const path of files(out)) {
        if (!/\.(?:html|js|css|svg|json|txt|webmanifest)$/.test(path)) continue;
        const content = readFileSync(path);
        const gzip = gzipSync(content, { level: 9 });
        if (path.endsWith(".js") && html.includes(path.slice(out.length).replaceAll("\\", "/"))) initial += gzip.length;
        if (content.length < WORTH) continue;
        writeFileSync(`${path}.gz`, gzip);
        writeFileSync(
          `${path}.br`,
          brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
        );
      }
      const size = `${(initial / 1024).toFixed(1)} KB`;
      if (initial > BUDGET) throw new Error(`initial JavaScript is ${size} after gzip; at most ${BUDGET / 1024} KB are allowed`);
      console.log(`initial JavaScript: ${size} after gzip (at most ${BUDGET / 1024} KB)`);
    },
  };
}
