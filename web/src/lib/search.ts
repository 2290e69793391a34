// State that belongs into the address: filters, views, tabs. It survives a reload and can be shared.
import { useCallback, useMemo } from "react";
import { useLocation, useSearch } from "wouter";

/** The query part of the address as values, and a way to change some of them. Empty values leave the address. */
export function useSearchState(): [URLSearchParams, (change: Record<string, string | readonly string[] | null>) => void] {
  const search = useSearch();
  const [path, go] = useLocation();
  const params = useMemo(() => new URLSearchParams(search), [search]);
  const change = useCallback(
    (values: Record<string, string | readonly string[] | null>) => {
      const next = new URLSearchParams(location.search);
      for (const [name, value] of Object.entries(values)) {
        next.delete(name);
        for (const one of Array.isArray(value) ? value : [value]) if (one) next.append(name, String(one));
      }
      const query = next.toString();
      go(path + (query ? `?${query}` : ""), { replace: true });
    },
    [path, go],
  );
  return [params, change];
}
