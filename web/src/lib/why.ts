// What a refusal was about, so that one can ask why: the method that was called, and the board it was called on.
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { Store } from "./store";

/** A call that is not let through. */
export interface Refused {
  /** The method, by its gRPC path without the slash in front. */
  readonly method: string;
  readonly boardId?: string;
  /** What the server said. */
  readonly said?: string;
}

const refusals = new WeakMap<object, Refused>();

/** The question that is open. */
export const whyAsked = new Store<Refused | null>(null);

/** The gRPC path of a method. */
export function pathOf(method: Pick<DescMethod, "name"> & { parent: { typeName: string } }): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Keeps what a refused call was about, with its error. */
export function noteRefusal(error: unknown, method: Parameters<typeof pathOf>[0], message: unknown): void {
  if (!(error instanceof ConnectError) || error.code !== Code.PermissionDenied) return;
  const { boardId } = (message ?? {}) as { boardId?: unknown };
  refusals.set(error, { method: pathOf(method), said: error.rawMessage, ...(typeof boardId === "string" && boardId !== "" ? { boardId } : {}) });
}

/** What a refused call was about; undefined for other errors. */
export function refusalOf(error: unknown): Refused | undefined {
  return typeof error === "object" && error !== null ? refusals.get(error) : undefined;
}
