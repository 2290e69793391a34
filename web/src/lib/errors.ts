// What went wrong, in words for people: the server's own where it has any.
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "@/gen/google/rpc/error_details_pb";
import errorsEn from "@/texts/en/errors";
import { texts } from "@/texts/catalogue";

/** What kind of thing went wrong, as far as the page acts on it. */
export type Trouble = "input" | "signed-out" | "denied" | "missing" | "conflict" | "limited" | "away" | "slow" | "defect";

const KINDS: Partial<Record<Code, Trouble>> = {
  [Code.InvalidArgument]: "input",
  [Code.OutOfRange]: "input",
  [Code.Unauthenticated]: "signed-out",
  [Code.PermissionDenied]: "denied",
  [Code.NotFound]: "missing",
  [Code.Aborted]: "conflict",
  [Code.AlreadyExists]: "conflict",
  [Code.FailedPrecondition]: "conflict",
  [Code.ResourceExhausted]: "limited",
  [Code.Unavailable]: "away",
  [Code.DeadlineExceeded]: "slow",
};

/** The kind of an error. */
export function trouble(error: unknown): Trouble {
  const { code, cause } = ConnectError.from(error);
  // A fetch that failed has no code of its own: the network or the server is away.
  if (code === Code.Unknown && cause instanceof TypeError) return "away";
  return KINDS[code] ?? "defect";
}

/** One sentence for people. */
export function say(error: unknown): string {
  const t = texts("errors", errorsEn);
  const failure = ConnectError.from(error);
  const kind = trouble(error);
  if (kind === "away" && reason(error) === "") return t.away;
  if (kind === "slow") return t.slow;
  const fields = violations(error);
  if (fields.length > 0) return fields.map((violation) => violation.message).join(" ");
  return failure.rawMessage.trim() || t.unknown;
}

/** The stable word of the server for the cause; empty when it gave none. */
export function reason(error: unknown): string {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason ?? "";
}

/** What the server says beside the sentence: the rule that refused, what helps, tasks in the way. */
export function detail(error: unknown): { rule?: string; remedy?: string; code?: string; blocked_by_task_ids?: string[] } {
  try {
    return JSON.parse(ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.metadata["detail"] ?? "{}") as object;
  } catch {
    return {};
  }
}

/** The fields that break rules, by the name the contract gives them (`name`, `task.title`). */
export function violations(error: unknown): { field: string; message: string }[] {
  return ConnectError.from(error)
    .findDetails(BadRequestSchema)
    .flatMap((details) => details.fieldViolations)
    .map((violation) => ({ field: violation.field, message: violation.description }));
}

/** Whether asking again may help. */
export function isPassing(error: unknown): boolean {
  return ["away", "slow", "limited"].includes(trouble(error));
}
