// Questions of agents, for looking and for journeys.

import { asAgents } from "./gateway.mjs";

/** Agents ask, and in the end a person does; answers the approvals, the oldest first. */
export async function ask(me, { board, boards, agents, tasks }) {
  const callers = await asAgents(agents);
  const made = [];
  const post = async (on, body, caller) => made.push(await (caller ? caller.post(`/api/v1/agent/boards/${on.id}/approvals`, body) : me.post(`/api/v1/boards/${on.id}/approvals`, body)));
  await post(board, {
    action_type: "send_email",
    task_ids: [tasks[0].id],
    confidence: 78,
    lead_reasoning: "The mail goes to 4,200 customers. Two agents checked the wording and support signed it off; the only open question is whether the price table is final.",
    payload: {
      subject: "The autumn release is here",
      recipients: 4200,
      segments: ["active", "trial"],
      body: "Hello,\n\nthe autumn release is out: faster imports, a new status page and release notes in German.\n\nThe team",
      links: { notes: "https://example.com/notes", unsubscribe: true },
    },
    rubric_scores: { clarity: 85, completeness: 90, reversibility: 20, risk: 40 },
  }, callers[0]);
  await post(board, { action_type: "mark_done", task_ids: [tasks[1].id], confidence: 92, lead_reasoning: "All acceptance criteria are met, and the tests pass." }, callers[1]);
  await post(board, {
    action_type: "deploy_production",
    task_ids: [tasks[2].id, tasks[4].id],
    confidence: 55,
    lead_reasoning: "The fix of the queue has to be out before Friday.",
    payload: { service: "queue-worker", version: "4.12.0", rollback: "4.11.3" },
    rubric_scores: { tests: 95, blast_radius: 30 },
  }, callers[2]);
  await post(board, { action_type: "change_schema", confidence: 64, lead_reasoning: "The import needs a column for the country." }, callers[1]);
  await post(boards[1], { action_type: "refund_customer", confidence: 61, payload: { reason: "The customer was charged twice.", amount: "€ 149.00", customer: "Müller GmbH" } });
  return made;
}
