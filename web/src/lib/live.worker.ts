/// <reference lib="webworker" />
// Holds the one stream of this browser and hands every change to all tabs. As a shared worker it lives as long as any tab; where browsers have
// none, each tab runs it as its own.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type ActivityEvent, ActivityService } from "@/gen/missioncontrol/activity/v1/activity_pb";
import type { FromWorker, LinkState, LiveEvent, ToWorker } from "./live.types";

interface Port {
  postMessage(message: FromWorker): void;
}

/** Changes of the last seconds come first, so that nothing is lost between a tab's reads and the begin of the stream. */
const REPLAY_SECONDS = 30;
/** The server says that it is there at least this often; a stream that is silent for twice as long is dead. */
const KEEPALIVE_SECONDS = 15;
const FIRST_RETRY = 300;
const LAST_RETRY = 10_000;
/** A stream that was opened so recently is not doubted. */
const TRUSTED = 3000;
/** Changes kept for tabs that open later. */
const RECENT = 300;

const ports = new Set<Port>();
const recent: LiveEvent[] = [];
const decoder = new TextDecoder();
let state: LinkState = { kind: "idle" };
let token: string | null = null;
let origin = "";
let resume = "";
let lastLive = 0;
let begun = 0;
let attempt = 0;
let run = 0;
let abort = new AbortController();
let timer: ReturnType<typeof setTimeout> | undefined;
let watchdog: ReturnType<typeof setTimeout> | undefined;

function tell(message: FromWorker): void {
  for (const port of ports) port.postMessage(message);
}

function become(next: LinkState): void {
  state = next;
  tell({ say: "state", state });
}

function parse(bytes: Uint8Array | undefined): unknown {
  return bytes && bytes.length > 0 ? (JSON.parse(decoder.decode(bytes)) as unknown) : null;
}

function read(event: ActivityEvent): LiveEvent {
  return {
    id: event.id,
    type: event.eventType,
    message: event.message ?? "",
    boardId: event.boardId ?? "",
    taskId: event.taskId ?? "",
    agentId: event.agentId ?? "",
    actor: { type: event.actorType ?? "", id: event.actorId ?? "", name: event.actorName ?? "" },
    requestId: event.requestId ?? "",
    at: event.createdAt ? timestampDate(event.createdAt).getTime() : Date.now(),
    before: parse(event.before),
    after: parse(event.after),
  };
}

/** Ends what runs and begins again; without `resume`, from now. */
function begin(): void {
  run += 1;
  begun = Date.now();
  abort.abort();
  abort = new AbortController();
  clearTimeout(timer);
  clearTimeout(watchdog);
  if (token === null) {
    resume = "";
    lastLive = 0;
    recent.length = 0;
    become({ kind: "idle" });
    return;
  }
  if (lastLive === 0) become({ kind: "connecting" });
  void stream(run, abort, token);
}

async function stream(mine: number, control: AbortController, bearer: string): Promise<void> {
  const transport = createGrpcWebTransport({ baseUrl: origin });
  const client = createClient(ActivityService, transport);
  const alive = () => {
    lastLive = Date.now();
    clearTimeout(watchdog);
    watchdog = setTimeout(() => control.abort(new ConnectError("the stream went silent", Code.Unavailable)), KEEPALIVE_SECONDS * 2000);
  };
  let trouble: unknown = null;
  try {
    const request = resume === "" ? { replaySeconds: REPLAY_SECONDS, keepaliveSeconds: KEEPALIVE_SECONDS } : { resumeToken: resume, keepaliveSeconds: KEEPALIVE_SECONDS };
    const events = client.watchActivity(request, {
      signal: control.signal,
      headers: { authorization: `Bearer ${bearer}` },
      onHeader: () => {
        if (mine !== run) return;
        attempt = 0;
        alive();
        become({ kind: "live" });
      },
    });
    for await (const message of events) {
      if (mine !== run) return;
      alive();
      if (message.eventType === "") continue;
      resume = message.resumeToken || message.id;
      const event = read(message);
      recent.push(event);
      if (recent.length > RECENT) recent.shift();
      tell({ say: "events", events: [event] });
    }
  } catch (error) {
    trouble = error;
  }
  if (mine !== run) return;
  clearTimeout(watchdog);
  const failure = trouble === null ? null : ConnectError.from(trouble);
  if (failure?.code === Code.Unauthenticated) {
    tell({ say: "expired", token: bearer });
    token = null;
    become({ kind: "idle" });
    return;
  }
  // The place in the log is gone: begin afresh, and let the tabs read everything again.
  if (failure && resume !== "" && [Code.FailedPrecondition, Code.NotFound, Code.InvalidArgument, Code.OutOfRange].includes(failure.code)) {
    resume = "";
    recent.length = 0;
    tell({ say: "reset" });
  }
  again();
}

function again(): void {
  const since = lastLive || Date.now();
  const pause = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** attempt) * (0.5 + Math.random() / 2);
  attempt += 1;
  if (!navigator.onLine) become({ kind: "offline", since });
  else become({ kind: "reconnecting", since, retryAt: Date.now() + pause });
  timer = setTimeout(begin, pause);
}

function hear(port: Port, message: ToWorker): void {
  switch (message.say) {
    case "hello": {
      ports.add(port);
      origin = message.origin;
      if (message.token !== token) {
        token = message.token;
        resume = "";
        lastLive = 0;
        recent.length = 0;
        begin();
      } else {
        port.postMessage({ say: "state", state });
        const from = Date.now() - REPLAY_SECONDS * 1000;
        const missed = recent.filter((event) => event.at >= from);
        if (missed.length > 0) port.postMessage({ say: "events", events: missed });
        if (state.kind === "reconnecting" || state.kind === "offline") begin();
      }
      break;
    }
    case "restart":
      resume = "";
      recent.length = 0;
      begin();
      tell({ say: "reset" });
      break;
    case "retry":
      if (state.kind === "reconnecting" || state.kind === "offline") begin();
      break;
    case "doubt":
      if (state.kind === "live" && Date.now() - begun > TRUSTED) begin();
      break;
    case "bye":
      ports.delete(port);
      break;
  }
}

self.addEventListener("online", () => {
  if (token !== null && state.kind !== "live") begin();
});
self.addEventListener("offline", () => {
  if (token !== null) become({ kind: "offline", since: lastLive || Date.now() });
});

if ("onconnect" in self) {
  (self as unknown as SharedWorkerGlobalScope).onconnect = (event) => {
    const port = event.ports[0];
    if (port) port.onmessage = (message: MessageEvent<ToWorker>) => hear(port, message.data);
  };
} else {
  const scope = self as unknown as DedicatedWorkerGlobalScope;
  scope.onmessage = (message: MessageEvent<ToWorker>) => hear(scope, message.data);
}
