export default {
  title: "Rules",
  names: {
    requireApprovalForDone: "An approval before Done",
    requireReviewBeforeDone: "A review before Done",
    commentRequiredForReview: "A comment before Review",
    blockStatusChangesWithPendingApproval: "Pending approvals hold the task",
    onlyLeadCanChangeStatus: "Only the lead moves tasks",
  },
  hints: {
    requireApprovalForDone: "A task becomes done only when an approval linked to it was granted.",
    requireReviewBeforeDone: "A task becomes done only from Review.",
    commentRequiredForReview: "Who moves a task to Review says what was done.",
    blockStatusChangesWithPendingApproval: "While an approval of a task waits, its status does not change.",
    onlyLeadCanChangeStatus: "Workers comment; the lead and people change statuses.",
  },
  gateway: "Gateway",
  gatewayHint: "Where the agents of this board run. It can be chosen later.",
  noGateway: "No gateway",
  group: "Group",
  groupHint: "Boards of a group share chat and memory.",
  noGroup: "No group",
};
