import { queryOptions } from "@tanstack/react-query";
import { BoardService } from "@/gen/missioncontrol/board/v1/board_pb";
import { BoardGroupService } from "@/gen/missioncontrol/board/v1/groups_pb";
import { GroupMemoryService } from "@/gen/missioncontrol/board/v1/memory_pb";
import { GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";
import { readAll } from "@/lib/pages";

/** All boards that the person may read, by name. */
export const boardsQuery = queryOptions({
  queryKey: ["boards", "list"],
  queryFn: ({ signal }) => readAll((limit, offset) => api(BoardService).listBoards({ limit, offset }, { signal })),
});

/** All groups of boards, by name. */
export const groupsQuery = queryOptions({
  queryKey: ["groups", "list"],
  queryFn: ({ signal }) => readAll((limit, offset) => api(BoardGroupService).listBoardGroups({ limit, offset }, { signal })),
});

/** The gateways of the organization; for owners and admins. */
export const gatewaysQuery = queryOptions({
  queryKey: ["gateways", "list"],
  queryFn: ({ signal }) => readAll((limit, offset) => api(GatewayService).listGateways({ limit, offset }, { signal })),
});

/** A group with its boards, their counts and foremost tasks. */
export const groupQuery = (groupId: string) =>
  queryOptions({
    queryKey: ["groups", groupId, "snapshot"],
    queryFn: ({ signal }) => api(BoardGroupService).getGroupSnapshot({ groupId, perBoardTaskLimit: 8 }, { signal }),
  });

/** What the boards of a group say to each other, or remember together; newest first. */
export const groupMemoryQuery = (groupId: string, isChat: boolean) =>
  queryOptions({
    queryKey: ["group-memory", groupId, isChat],
    queryFn: ({ signal }) => readAll((limit, offset) => api(GroupMemoryService).listGroupMemory({ groupId, isChat, limit, offset }, { signal })),
  });
