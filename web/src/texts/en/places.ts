// Names of pages: part of every visit, so that the texts of a page are loaded with the page.
export default {
  inbox: "Inbox",
  approvals: "Approvals",
  dashboard: "Dashboard",
  activity: "Activity",
  audit: "Audit trail",
  organization: "Organization",
  settings: "Settings",
  keys: "API keys",
  webhooks: "Webhooks",
  invites: "Invites",
  invite: "Invite somebody",
  access: "Who may do what, and why",
  accessWords: "access rights permission denied",
};
