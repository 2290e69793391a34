// The script before all others: the theme, and what the place that is opened needs, so that its code comes beside the shell's instead of after it.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Plugin } from "vite";

interface Chunk {
  readonly type: string;
  readonly fileName: string;
  readonly facadeModuleId?: string | null;
  readonly imports?: readonly string[];
}

/** Every route of `pages/<area>/page.ts` with the file of its component; those with fewer parameters first, as the page looks them up. */
function routes(pages: string): { path: string; module: string }[] {
  const found: { path: string; module: string }[] = [];
  for (const area of readdirSync(pages).toSorted()) {
    const text = readFileSync(join(pages, area, "page.ts"), "utf8");
    const matches = [...text.matchAll(/path: "([^"]+)",\s*load: (?:async )?\(\) => import\("\.\/([^"]+)"\)/g)];
    const loads = text.match(/\bload:/g)?.length ?? 0;
    if (matches.length !== loads) throw new Error(`${area}/page.ts: a route is written as { path: "...", load: () => import("./...") }`);
    for (const [, path = "", file = ""] of matches) found.push({ path, module: join(pages, area, file) });
  }
  const weight = (path: string) => (path.match(/[:*]/g) ?? []).length;
  return found.toSorted((a, b) => weight(a.path) - weight(b.path));
}

/** What runs in the browser; `places` are patterns of paths with numbers of `files`, the first of them the sign-in's. */
const LOADER = `(function (files, places) {
  var signedIn = null;
  try {
    signedIn = localStorage.getItem("mc.token");
  } catch (closed) {}
  for (var place of signedIn && location.pathname !== "/auth/callback" ? places.slice(1) : places.slice(0, 1)) {
    if (!new RegExp(place[0]).test(location.pathname)) continue;
    for (var file of place[1]) {
      var link = document.createElement("link");
      link.rel = "modulepreload";
      link.crossOrigin = "";
      link.href = files[file];
      document.head.append(link);
    }
    break;
  }
})`;

/** Puts `theme.js` and the loader into one file with a name that changes with its content. */
export function first(): Plugin {
  let [root, out] = ["", "dist"];
  return {
    name: "first-script",
    apply: "build",
    configResolved(config) {
      root = config.root;
      out = resolve(config.root, config.build.outDir);
    },
    writeBundle(_, bundle) {
      const chunks = Object.values(bundle) as Chunk[];
      const index = join(out, "index.html");
      const html = readFileSync(index, "utf8");
      const files: string[] = [];
      const needed = (module: string): number[] => {
        const start = chunks.find((chunk) => chunk.type === "chunk" && chunk.facadeModuleId?.replace(/\.tsx?$/, "") === module);
        if (!start) throw new Error(`no chunk was made of ${module}`);
        const all = new Set<string>();
        const add = (name: string) => {
          if (all.has(name)) return;
          all.add(name);
          for (const next of chunks.find((chunk) => chunk.fileName === name)?.imports ?? []) add(next);
        };
        add(start.fileName);
        return [...all]
          .map((name) => `/${name}`)
          .filter((name) => !html.includes(name))
          .map((name) => {
            if (!files.includes(name)) files.push(name);
            return files.indexOf(name);
          });
      };
      const places: [string, number[]][] = [["", needed(join(root, "src/shell/signin"))]];
      for (const { path, module } of routes(join(root, "src/pages"))) {
        places.push([`^${path.replace(/:[^/]+/g, "[^/]+").replace("/*?", "(?:/.*)?")}/?$`, needed(module)]);
      }
      const theme = join(out, "theme.js");
      const text = `${readFileSync(theme, "utf8")}${LOADER}(${JSON.stringify(files)}, ${JSON.stringify(places)});\n`;
      const name = `/assets/first-${createHash("sha256").update(text).digest("base64url").slice(0, 8)}.js`;
      writeFileSync(join(out, name), text);
      rmSync(theme);
      if (!html.includes('"/theme.js"')) throw new Error("index.html does not name /theme.js");
      writeFileSync(index, html.replace('"/theme.js"', `"${name}"`));
    },
  };
}
