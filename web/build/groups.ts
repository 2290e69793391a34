// Which modules share a file. By itself the bundler makes a file of everything that two pages share, down to single icons; each costs a request.

interface Context {
  getModuleInfo: (id: string) => { importedIds: readonly string[] } | null;
}

/** What pages share of icons, library and components is one file, and what the board reads is another; what every visit loads stays where it is. */
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
  const name = (id: string, context: Context): string | null => {
    initial ??= reach(context);
    if (initial.has(id)) return null;
    if (/\/src\/gen\/missioncontrol\/(?:board|agent|approval)\//.test(id)) return "contract";
    return /\/node_modules\/lucide-react\/|\/src\/(?:lib|ui)\//.test(id) ? "common" : null;
  };
  return [{ name, minShareCount: 2 }];
}
