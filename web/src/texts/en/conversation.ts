export default {
  lead: "As the gateway keeps it",
  reload: "Read again",
  messages: "Messages",
  emptyTitle: "Nothing was said here yet",
  emptyBody: "Messages to the agent, its answers and its wake-ups appear here.",
  missing: "Write what you want to say.",
  say: (name: string) => `Say something to ${name}`,
  send: "Send",
  wordless: "No words",
  roles: { user: "To the agent", toolResult: "Tool", system: "System", custom: "Note" } as Readonly<Record<string, string>>,
};
