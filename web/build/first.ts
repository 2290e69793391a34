// The script before all others: the theme, and what the place that is opened needs. Its code comes beside the shell's instead of after it, and
// the answer to its first call is on its way before there is code to ask for it.
import { fromBinary } from "@bufbuild/protobuf";
import { type DescriptorProto, FieldDescriptorProto_Type, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Plugin } from "vite";
import { DEADLINE } from "../src/lib/deadline.ts";

interface Chunk {
  readonly type: string;
  readonly fileName: string;
  readonly facadeModuleId?: string | null;
  readonly imports?: readonly string[];
}

/** Where a place begins: the pattern of its path, the file of its component, and the method that it calls first. */
interface Place {
  readonly path: string;
  readonly module: string;
  readonly ahead: string | undefined;
}

/** Every route of `pages/<area>/page.ts`; those with fewer parameters first, as the page looks them up. */
function routes(pages: string): Place[] {
  const found: Place[] = [];
  for (const area of readdirSync(pages).toSorted()) {
    const text = readFileSync(join(pages, area, "page.ts"), "utf8");
    const matches = [...text.matchAll(/path: "([^"]+)",\s*load: (?:async )?\(\) => import\("\.\/([^"]+)"\)(?:,\s*ahead: "([^"]+)")?/g)];
    const loads = text.match(/\bload:/g)?.length ?? 0;
    const aheads = text.match(/\bahead:/g)?.length ?? 0;
    if (matches.length !== loads || matches.filter(([, , , ahead]) => ahead).length !== aheads) {
      throw new Error(`${area}/page.ts: a route is written as { path: "...", load: () => import("./..."), ahead: "..." }; the last may be left out`);
    }
    for (const [, path = "", file = "", ahead] of matches) found.push({ path, module: join(pages, area, file), ahead });
  }
  const weight = (path: string) => (path.match(/[:*]/g) ?? []).length;
  return found.toSorted((a, b) => weight(a.path) - weight(b.path));
}

/** The messages and methods of the generated client, from the descriptors in it. */
function contract(gen: string): { messages: Map<string, DescriptorProto>; inputs: Map<string, string> } {
  const [messages, inputs] = [new Map<string, DescriptorProto>(), new Map<string, string>()];
  for (const name of readdirSync(gen, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith("_pb.ts")) continue;
    const encoded = /\bfileDesc\("([^"]+)"/.exec(readFileSync(join(gen, name), "utf8"))?.[1];
    if (!encoded) continue;
    const file = fromBinary(FileDescriptorProtoSchema, Buffer.from(encoded, "base64"));
    for (const message of file.messageType) messages.set(`.${file.package}.${message.name}`, message);
    for (const service of file.service) for (const method of service.method) inputs.set(`${file.package}.${service.name}/${method.name}`, method.inputType);
  }
  return { messages, inputs };
}

/** The call of a method whose request has the parameters of a path: its path, and the number of the field that each parameter is. */
function call(method: string, path: string, { messages, inputs }: ReturnType<typeof contract>): [string, number[]] {
  const message = messages.get(inputs.get(method) ?? "");
  if (!message) throw new Error(`${path}: there is no method ${method}`);
  const numbers = [...path.matchAll(/:([^/]+)/g)].map(([, name = ""]) => {
    const written = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const field = message.field.find((one) => one.name === written && one.type === FieldDescriptorProto_Type.STRING && one.number < 16);
    if (!field) throw new Error(`${path}: the request of ${method} has no string ${name}`);
    return field.number;
  });
  // The length of the message is one byte of its frame.
  if (numbers.length > 2) throw new Error(`${path}: too many parameters for a first call`);
  return [`/${method}`, numbers];
}

/**
 * What runs in the browser; `places` are patterns of paths with numbers of `files` and the first call, the first of them the sign-in's. The call is
 * a request of gRPC-web (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>): a frame of five bytes and the message, short strings.
 */
const LOADER = `(function (files, places, deadline) {
  var signedIn = null;
  try {
    signedIn = localStorage.getItem("mc.token");
  } catch (closed) {}
  for (var place of signedIn && location.pathname !== "/auth/callback" ? places.slice(1) : places.slice(0, 1)) {
    var match = new RegExp(place[0]).exec(location.pathname);
    if (!match) continue;
    for (var file of place[1]) {
      var link = document.createElement("link");
      link.rel = "modulepreload";
      link.crossOrigin = "";
      link.href = files[file];
      document.head.append(link);
    }
    var values = match.slice(1);
    if (place[2] && values.every((value) => /^[\\w-]{1,99}$/.test(value))) {
      var message = values.flatMap((value, at) => [place[2][1][at] * 8 + 2, value.length, ...new TextEncoder().encode(value)]);
      var body = new Uint8Array([0, 0, 0, 0, message.length, ...message]);
      var authorization = "Bearer " + signedIn;
      var headers = { authorization: authorization, "content-type": "application/grpc-web+proto", "x-grpc-web": "1", "grpc-timeout": deadline + "m" };
      var answer = fetch(place[2][0], { method: "POST", redirect: "error", headers: headers, body: body, signal: AbortSignal.timeout(deadline) });
      window.ahead = { path: place[2][0], authorization: authorization, body: body, answer: answer };
      answer.catch(() => undefined);
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
      const places: [string, number[], ...[string, number[]][]][] = [["", needed(join(root, "src/shell/signin"))]];
      const known = contract(join(root, "src/gen"));
      for (const { path, module, ahead } of routes(join(root, "src/pages"))) {
        const pattern = `^${path.replace(/:[^/]+/g, "([^/]+)").replace("/*?", "(?:/.*)?")}/?$`;
        places.push([pattern, needed(module), ...(ahead ? [call(ahead, path, known)] : [])]);
      }
      const theme = join(out, "theme.js");
      const text = `${readFileSync(theme, "utf8")}${LOADER}(${JSON.stringify(files)}, ${JSON.stringify(places)}, ${DEADLINE});\n`;
      const name = `/assets/first-${createHash("sha256").update(text).digest("base64url").slice(0, 8)}.js`;
      writeFileSync(join(out, name), text);
      rmSync(theme);
      if (!html.includes('"/theme.js"')) throw new Error("index.html does not name /theme.js");
      writeFileSync(index, html.replace('"/theme.js"', `"${name}"`));
    },
  };
}
