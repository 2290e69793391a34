// The seam between what every visit loads and the board's own code, which knows the types: until that is there, no board has been read.
import type { QueryClient } from "@tanstack/react-query";
import type { LiveEvent } from "@/lib/live";

let write: ((event: LiveEvent, client: QueryClient) => void) | undefined;

/** The board's code is here. */
export function setBoardWriter(writer: (event: LiveEvent, client: QueryClient) => void): void {
  write = writer;
}

/** Writes a change into the boards that were read. */
export function applyToBoards(event: LiveEvent, client: QueryClient): void {
  write?.(event, client);
}
