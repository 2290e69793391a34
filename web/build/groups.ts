// Which modules share a file. By itself the bundler makes a file of everything that two pages share, down to single icons; each costs a request.

interface Context {
  getModuleInfo: (id: string) => { importedIds: readonly string[] } | null;
}

/**
 * Three files besides those of single pages: what every visit loads, what pages share of icons, library and components, and what the board reads.
 * A browser gives an origin six connections, and a board is there when the last of its files is.
 */
export function groups(source: string): { name: (id: string, context: Context) => string | null; minShareCount: number }[] {
  let initial: Set<string> | undefined;
  const reach = (context: Context): Set<string> => {
    const found = new Set<string>();
    const open = [`${source}/main.tsx`];
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      if (found.has(id)) continue;
      found.add(id);
      open.push(...(context.getModuleInfo(id)?.importedIds ?? []));
    }
    return found;
  };
  const isInitial = (id: string, context: Context): boolean => (initial ??= reach(context)).has(id);
  const shell = (id: string, context: Context): string | null => (isInitial(id, context) ? "shell" : null);
  const shared = (id: string, context: Context): string | null => {
    if (isInitial(id, context)) return null;
    if (/\/src\/gen\/missioncontrol\/(?:board|agent|approval)\//.test(id)) return "contract";
    return /\/node_modules\/lucide-react\/|\/src\/(?:lib|ui)\//.test(id) ? "common" : null;
  };
  return [
    { name: shell, minShareCount: 1 },
    { name: shared, minShareCount: 2 },
  ];
}
