// A small gRPC-web client (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md): unary calls, and just enough protobuf to read answers.

const HEAD = 5;
const TRAILERS = 0x80;

/** gRPC status codes this page tells apart. */
export const Code = { ok: 0, invalid: 3, deadline: 4, limited: 8, unavailable: 14, unauthenticated: 16 };

/** A call that failed: a gRPC code and a sentence for people. */
export class CallError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Calls a unary method with an encoded message; answers the encoded reply. */
export async function unary(path, message, { token, timeout = 15000 } = {}) {
  const body = new Uint8Array(HEAD + message.length);
  new DataView(body.buffer).setUint32(1, message.length);
  body.set(message, HEAD);
  const headers = { "content-type": "application/grpc-web+proto", accept: "application/grpc-web+proto", "x-grpc-web": "1" };
  if (token) headers.authorization = `Bearer ${token}`;

  let response;
  let bytes;
  try {
    response = await fetch(path, { method: "POST", headers, body, cache: "no-store", signal: AbortSignal.timeout(timeout) });
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    if (error.name === "TimeoutError") throw new CallError(Code.deadline, "The server did not answer in time.");
    throw new CallError(Code.unavailable, "The server cannot be reached.");
  }

  // A call that fails at once has its status in the headers, others in a last frame of the body.
  let status = response.headers.get("grpc-status");
  let text = response.headers.get("grpc-message") ?? "";
  let reply = null;
  if (status === null && !(response.headers.get("content-type") ?? "").startsWith("application/grpc-web")) {
    throw new CallError(Code.unavailable, `Something between here and the server answered instead of it (HTTP ${response.status}).`);
  }
  for (let at = 0; at + HEAD <= bytes.length; ) {
    const flag = bytes[at];
    const length = new DataView(bytes.buffer).getUint32(at + 1);
    const content = bytes.subarray(at + HEAD, at + HEAD + length);
    at += HEAD + length;
    if ((flag & TRAILERS) === 0) {
      reply = content;
      continue;
    }
    for (const line of new TextDecoder().decode(content).split("\r\n")) {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).trim().toLowerCase();
      const value = line.slice(colon + 1).trim();
      if (name === "grpc-status") status = value;
      if (name === "grpc-message") text = value;
    }
  }
  if (Number(status) !== Code.ok || status === null) {
    throw new CallError(Number(status ?? Code.unavailable), decode(text) || "The call failed.");
  }
  if (reply === null) throw new CallError(Code.unavailable, "The answer was incomplete.");
  return reply;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Walks the fields of an encoded message: yields [number, value]; value is a number for varints, bytes for everything with a length. */
export function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    let scale = 1;
    for (;;) {
      if (at >= bytes.length) throw new CallError(Code.unavailable, "The answer cannot be read.");
      const byte = bytes[at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        yield [number, varint()];
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        yield [number, bytes.subarray(at, at + length)];
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new CallError(Code.unavailable, "The answer cannot be read.");
    }
  }
}

/** The text of a string field. */
export const text = (bytes) => new TextDecoder().decode(bytes);
