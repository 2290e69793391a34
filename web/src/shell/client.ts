import { QueryClient } from "@tanstack/react-query";
import { isPassing } from "@/lib/errors";

/** What was read stays true until the stream says otherwise; nothing is read again by the clock or by focus. */
export const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Number.POSITIVE_INFINITY,
      gcTime: 10 * 60_000,
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      networkMode: "always",
      retry: (count, error) => isPassing(error) && count < 3,
      retryDelay: (attempt) => Math.min(4000, 300 * 2 ** attempt) * (0.5 + Math.random() / 2),
    },
    mutations: { networkMode: "always", retry: false },
  },
});
