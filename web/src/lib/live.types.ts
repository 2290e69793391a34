// What tabs and the worker that holds the stream say to each other.

/** How the view relates to the server. `live`: changes arrive as they happen. */
export type LinkState =
  | { kind: "connecting" }
  | { kind: "live" }
  /** The stream broke at `since` and is tried again at `retryAt` (both in epoch milliseconds). */
  | { kind: "reconnecting"; since: number; retryAt: number }
  /** The browser has no network since `since`. */
  | { kind: "offline"; since: number }
  /** Nobody is signed in, or the token is no longer taken. */
  | { kind: "idle" };

/** One change, as the stream tells it. `before` and `after` are the resource in its REST form. */
export interface LiveEvent {
  id: string;
  type: string;
  message: string;
  boardId: string;
  taskId: string;
  agentId: string;
  actor: { type: string; id: string; name: string };
  requestId: string;
  /** Epoch milliseconds. */
  at: number;
  before: unknown;
  after: unknown;
}

/** From a tab. */
export type ToWorker =
  | { say: "hello"; token: string | null; origin: string }
  /** Another organization became active: begin afresh. */
  | { say: "restart" }
  /** A person looks, or the network came back: do not wait for the next attempt. */
  | { say: "retry" }
  /** A call found the server away: see whether the stream still brings anything. */
  | { say: "doubt" }
  | { say: "bye" };

/** To the tabs. */
export type FromWorker =
  | { say: "state"; state: LinkState }
  | { say: "events"; events: LiveEvent[] }
  /** Changes were missed that cannot be had any more: read everything again. */
  | { say: "reset" }
  | { say: "expired"; token: string };
