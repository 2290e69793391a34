// A small organization at work, for looking at the page and for journeys: a gateway, groups, boards with agents, tasks in every state.
import { pathToFileURL } from "node:url";
import { person, rest, until } from "./rest.mjs";

const TITLES = [
  "Draft the launch checklist for the autumn release",
  "Find out why nightly imports take four hours",
  "Answer the open questions of the security review",
  "Rewrite the onboarding mail in plain words",
  "Compare three vendors for address validation",
  "Collect numbers for the board meeting",
  "Fix the date shown in invoices from Brazil",
  "Move the status page to the new domain",
  "Write the post-mortem of the queue outage",
  "Prepare interview questions for the data role",
  "Check all links of the public documentation",
  "Summarize what customers said last week",
  "Try the new embeddings on the search index",
  "Clean up feature flags older than a year",
  "Translate release notes into German",
  "Measure how long sign-ups wait for the first mail",
];

/** REST as an agent, with the token from its files. */
export async function agent(id) {
  const token = await until("the agent has its token", async () => {
    for (const name of ["TOOLS.md", "AGENTS.md"]) {
      const found = (await (await fetch(`${process.env.GATEWAY_FILES}/${id}/${name}`)).text()).match(/^AUTH_TOKEN=(.+)$/m);
      if (found) return found[1].trim();
    }
    return undefined;
  });
  return rest(process.env.MC_URL, { "x-agent-token": token });
}

/** Makes it; answers what a journey wants to know. */
export async function seed({ tasks = 26, asking = true, me = person() } = {}) {
  await me.post("/api/v1/auth/bootstrap");
  const gateway = await me.post("/api/v1/gateways", { name: "Local gateway", url: process.env.GATEWAY_URL, token: process.env.GATEWAY_TOKEN, workspace_root: "/tmp/agents" });
  const group = await me.post("/api/v1/board-groups", { name: "Growth", slug: "growth", description: "Everything that brings people in and keeps them." });
  const boards = [];
  for (const [name, description, objective, grouped] of [
    ["Apollo launch", "Everything for the autumn release.", "Ship the autumn release by 15 December with no open blocker.", true],
    ["Customer support", "Questions from customers, answered within a day.", null, true],
    ["Data quality", "Imports, checks and clean-ups.", "No failed import for four weeks.", false],
  ]) {
    boards.push(
      await me.post("/api/v1/boards", { name, slug: name.toLowerCase().replaceAll(" ", "-"), description, objective, gateway_id: gateway.id, board_group_id: grouped ? group.id : null, require_approval_for_done: false }),
    );
  }
  const [board] = boards;
  const tags = [];
  for (const [name, color] of [["backend", "3b82f6"], ["research", "8b5cf6"], ["urgent", "dc2626"], ["writing", "16a34a"]]) tags.push(await me.post("/api/v1/tags", { name, color }));
  const agents = [];
  for (const name of ["Ada", "Linus", "Grace"]) agents.push(await me.post("/api/v1/agents", { name, board_id: board.id }));
  const made = [];
  const states = ["inbox", "inbox", "in_progress", "review", "done", "inbox", "in_progress", "done"];
  for (let n = 0; n < tasks; n += 1) {
    // What waits for another task cannot be begun, nor given to anybody.
    const waits = n % 6 === 5;
    const status = waits ? "inbox" : states[n % states.length];
    const body = {
      title: TITLES[n % TITLES.length] + (n >= TITLES.length ? ` (part ${1 + Math.floor(n / TITLES.length)})` : ""),
      description: n % 3 === 0 ? "What has to be done:\n\n- look at the **last release**\n- ask support what hurt\n- write it down in `docs/launch.md`\n\nSee [the notes](https://example.com/notes)." : null,
      priority: ["medium", "high", "low", "medium"][n % 4],
      status,
      tag_ids: [tags[n % 4].id, ...(n % 5 === 0 ? [tags[(n + 1) % 4].id] : [])],
      assigned_agent_id: !waits && (status === "in_progress" || n % 4 === 1) ? agents[n % agents.length].id : null,
      depends_on_task_ids: waits ? [made[n - 5].id] : [],
      due_at: n % 4 === 2 ? new Date(Date.now() + (n - 6) * 86400000).toISOString() : null,
    };
    const task = await me.post(`/api/v1/boards/${board.id}/tasks`, body);
    made.push(task);
  }
  for (const text of ["Started with the checklist of the last release.", "Support says the import was what hurt most. @lead shall we put it first?"]) {
    await me.post(`/api/v1/boards/${board.id}/tasks/${made[0].id}/comments`, { message: text });
  }
  await me.post(`/api/v1/boards/${board.id}/memory`, { content: "Releases go out on Tuesdays, never on Fridays.", tags: ["decision"] });
  await me.post(`/api/v1/boards/${board.id}/memory`, { content: "Good morning. Anything that blocks the launch?", tags: ["chat"] });
  // Who asks cannot decide: an agent asks.
  const ada = process.env.GATEWAY_FILES ? await agent(agents[0].id) : undefined;
  if (asking) {
    await (ada ?? me).post(`/api/v1/${ada ? "agent/" : ""}boards/${board.id}/approvals`, {
      action_type: "send_email",
      task_ids: [made[3].id],
      confidence: 78,
      lead_reasoning: "The mail goes to 4,200 customers; wording was checked by two agents.",
      payload: { reason: "Send the launch mail", subject: "The autumn release is here", recipients: 4200 },
      rubric_scores: { clarity: 85, risk: 40, completeness: 90 },
    });
  }
  return { gateway, group, boards, board, tags, agents, ada, tasks: made };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { board } = await seed({ tasks: Number(process.env.TASKS ?? 26) });
  console.log(`/boards/${board.id}`);
}
