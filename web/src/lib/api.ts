// The way to the server: generated services over gRPC-web, on the origin the page came from.
import { type DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { fetchOrTake } from "./ahead";
import { DEADLINE } from "./deadline";
import { trouble } from "./errors";
import { doubtLive } from "./live";
import { expire, session } from "./session";
import { noteRefusal } from "./why";

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

const transport = createGrpcWebTransport({ baseUrl: location.origin, interceptors: [authorize], defaultTimeoutMs: DEADLINE, fetch: fetchOrTake });

const clients = new Map<DescService, unknown>();

/** The client of a service: `api(BoardService).listBoards({}, { signal })`. */
export function api<S extends DescService>(service: S): Client<S> {
  let client = clients.get(service) as Client<S> | undefined;
  if (!client) clients.set(service, (client = createClient(service, transport)));
  return client;
}
