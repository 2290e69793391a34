// Who I am here: the person, the active organization, what my role opens.
import { queryOptions, useQuery } from "@tanstack/react-query";
import { useCallback } from "react";
import { OrganizationService, UserService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "./api";
import { setTimeZone } from "./format";

/** The signed-in person; sets the time zone of all times. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async ({ signal }) => {
    const user = await api(UserService).getMe({}, { signal });
    setTimeZone(user.timezone);
    return user;
  },
});

/** The person's organizations with their role in each. */
export const organizationsQuery = queryOptions({
  queryKey: ["organizations"],
  queryFn: async ({ signal }) => (await api(OrganizationService).listMyOrganizations({}, { signal })).items,
});

/** The person's membership in the active organization, with rights on boards. */
export const membershipQuery = queryOptions({
  queryKey: ["membership"],
  queryFn: ({ signal }) => api(OrganizationService).getMyMembership({}, { signal }),
});

/** The active organization and the role in it; undefined until known. */
export function useOrganization() {
  const { data } = useQuery(organizationsQuery);
  return data?.find((organization) => organization.isActive);
}

/** Whether the person is owner or admin of the active organization. */
export function useIsAdmin(): boolean {
  const role = useOrganization()?.role;
  return role === "owner" || role === "admin";
}

/** Whether the person may change things on a board; true until known, since the server decides anyway. */
export function useMayWrite(boardId: string): boolean {
  return useWritable()(boardId);
}

/** The same for any board of a list. */
export function useWritable(): (boardId: string) => boolean {
  const admin = useIsAdmin();
  const { data } = useQuery(membershipQuery);
  return useCallback(
    (boardId) => admin || !data || data.allBoardsWrite || data.boardAccess.some((access) => access.boardId === boardId && access.canWrite),
    [admin, data],
  );
}

/** Whether the person may change things on one of some boards, or on all; so for what boards share. */
export function useMayWriteAny(boardIds: readonly string[]): boolean {
  const admin = useIsAdmin();
  const { data } = useQuery(membershipQuery);
  if (admin || !data) return true;
  return data.allBoardsWrite || data.boardAccess.some((access) => access.canWrite && boardIds.includes(access.boardId));
}

/** What to call a person. */
export function personName(user: { preferredName?: string; name?: string; email?: string } | undefined): string {
  return user?.preferredName || user?.name || user?.email || "";
}

