// The way to the server: generated services over gRPC-web, on the origin the page came from.
import { type DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { trouble } from "./errors";
import { doubtLive } from "./live";
import { expire, session } from "./session";
import { noteRefusal } from "./why";

/** How long a call may take. */
const DEADLINE = 30_000;

const authorize: Interceptor = (next) => async (request) => {
  const { token } = session.get();
  if (token !== null && !request.header.has("authorization")) request.header.set("authorization", `Bearer ${token}`);
  try {
    return await next(request);
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) expire(token);
    noteRefusal(error, request.method, request.stream ? undefined : request.message);
    if (trouble(error) === "away") doubtLive();
    throw error;
  }
};

/** What the first script has asked already (`build/first.ts`). */
interface Ahead {
  readonly path: string;
  readonly body: Uint8Array;
  readonly answer: Promise<Response>;
}

/** Takes the answer to a call that is on its way already, once; another call is another request. */
const fetchOrTake: typeof fetch = (input, init) => {
  const { ahead } = globalThis as { ahead?: Ahead };
  const same = ahead && input === location.origin + ahead.path && init?.body instanceof Uint8Array && ahead.body.length === init.body.length && ahead.body.every((byte, at) => byte === (init.body as Uint8Array)[at]);
  if (!same) return fetch(input, init);
  delete (globalThis as { ahead?: Ahead }).ahead;
  return ahead.answer;
};

const transport = createGrpcWebTransport({ baseUrl: location.origin, interceptors: [authorize], defaultTimeoutMs: DEADLINE, fetch: fetchOrTake });

const clients = new Map<DescService, unknown>();

/** The client of a service: `api(BoardService).listBoards({}, { signal })`. */
export function api<S extends DescService>(service: S): Client<S> {
  let client = clients.get(service) as Client<S> | undefined;
  if (!client) clients.set(service, (client = createClient(service, transport)));
  return client;
}
