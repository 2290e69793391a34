// All texts of the page. English is complete and is the type of every other language: `texts/en/<area>.ts` holds the words of one area; another
// language puts the same names into `texts/<locale>/<area>.ts`, as much of them as it has.

/** What an area's file exports: texts, or functions that make them, by name; groups may nest. */
export type Texts = { readonly [name: string]: string | ((...values: never[]) => string) | Texts };

const others = import.meta.glob<{ default: Texts }>(["./*/*.ts", "!./en/*.ts"]);
/** What was handed out, by area: a language that is loaded later is written into it. */
const areas = new Map<string, Record<string, unknown>>();
const translations = new Map<string, Texts>();
let current = "en";

/** The language in use (BCP 47); dates and numbers follow the browser's region in it. */
export function language(): string {
  return current;
}

/** The locale for dates and numbers: the browser's own when it speaks the language in use. */
export function locale(): string {
  return navigator.languages.find((candidate) => candidate.split("-")[0] === current) ?? current;
}

/** Loads the best language there is; before anything is shown. English needs nothing. */
export async function loadLanguage(wanted: readonly string[] = navigator.languages): Promise<void> {
  const known = new Set(Object.keys(others).map((path) => path.split("/")[1] ?? ""));
  current = wanted.map((tag) => tag.split("-")[0] ?? "").find((tag) => tag === "en" || known.has(tag)) ?? "en";
  document.documentElement.lang = current;
  if (current === "en") return;
  await Promise.all(
    Object.entries(others)
      .filter(([path]) => path.split("/")[1] === current)
      .map(async ([path, load]) => {
        const area = path.split("/")[2]?.replace(/\.ts$/, "") ?? "";
        const words = (await load()).default;
        translations.set(area, words);
        const handedOut = areas.get(area);
        if (handedOut) write(handedOut, words);
      }),
  );
}

/** The texts of an area in the language in use; what is not translated is English. */
export function texts<T extends Texts>(area: string, english: T): T {
  let own = areas.get(area);
  if (!own) {
    own = write({}, english);
    const words = translations.get(area);
    if (words) write(own, words);
    areas.set(area, own);
  }
  return own as T;
}

/** Writes texts into the same object, group by group, so that who holds it sees the change. */
function write(into: Record<string, unknown>, from: Texts): Record<string, unknown> {
  for (const [name, value] of Object.entries(from)) {
    if (typeof value === "object") into[name] = write((into[name] as Record<string, unknown> | undefined) ?? {}, value);
    else into[name] = value;
  }
  return into;
}
