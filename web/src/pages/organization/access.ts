// Rights on boards: how they are said, and what the form makes of them.
import type { Member } from "@/gen/missioncontrol/org/v1/org_pb";
import organization from "@/texts/en/organization";
import { texts } from "@/texts/catalogue";

const t = texts("organization", organization);

export type Mode = "write" | "read" | "some";
export type Right = "none" | "read" | "write";

/** Rights on boards as they are chosen. */
export interface Access {
  mode: Mode;
  /** By board; what is not there is none. */
  boards: Record<string, Right>;
}

type Rights = Pick<Member, "allBoardsRead" | "allBoardsWrite"> & { boardAccess: readonly { boardId: string; canRead: boolean; canWrite: boolean }[] };

/** What somebody may do, for the form. */
export function accessOf(rights: Rights): Access {
  return {
    mode: rights.allBoardsWrite ? "write" : rights.allBoardsRead ? "read" : "some",
    boards: Object.fromEntries(rights.boardAccess.map((access) => [access.boardId, access.canWrite ? "write" : access.canRead ? "read" : "none"])),
  };
}

/** What was chosen, for the server. */
export function toRequest(access: Access): { allBoardsRead: boolean; allBoardsWrite: boolean; boardAccess: { boardId: string; canRead: boolean; canWrite: boolean }[] } {
  return {
    allBoardsRead: access.mode !== "some",
    allBoardsWrite: access.mode === "write",
    boardAccess: access.mode === "some" ? Object.entries(access.boards).flatMap(([boardId, right]) => (right === "none" ? [] : [{ boardId, canRead: true, canWrite: right === "write" }])) : [],
  };
}

/** Whether two choices mean the same. */
export function sameAccess(a: Access, b: Access): boolean {
  const key = (access: Access) => JSON.stringify(toRequest({ ...access, boards: Object.fromEntries(Object.entries(access.boards).sort()) }));
  return key(a) === key(b);
}

/** What somebody may do, in words. */
export function accessText(rights: Rights): string {
  const access = accessOf(rights);
  if (access.mode !== "some") return t.accessOf[access.mode];
  const all = Object.values(access.boards);
  const read = all.filter((right) => right !== "none").length;
  return read === 0 ? t.accessOf.none : t.accessSome(read, all.filter((right) => right === "write").length);
}
