// What the journeys of gateways, agents and skills begin with: a gateway, a board and two agents.

/** Makes them; answers what a journey wants to know. */
export async function fleet(me) {
  await me.post("/api/v1/auth/bootstrap");
  const gateway = await me.post("/api/v1/gateways", { name: "Office gateway", url: process.env.GATEWAY_URL, token: process.env.GATEWAY_TOKEN, workspace_root: "~/.openclaw" });
  const board = await me.post("/api/v1/boards", { name: "Customer support", slug: "customer-support", description: "Questions from customers, answered within a day.", gateway_id: gateway.id, max_agents: 5 });
  const agents = [];
  for (const [name, role, purpose] of [
    ["Ada", "Support engineer", "Answers questions of customers in plain words."],
    ["Grace", "Researcher", "Finds out what customers say."],
  ]) {
    agents.push(await me.post("/api/v1/agents", { name, board_id: board.id, identity_profile: { role, purpose } }));
  }
  return { gateway, board, agents };
}

/** Pictures and checks in both widths, light and dark. */
export async function lookBoth(look, page, label) {
  await page.setViewportSize({ width: 1440, height: 900 });
  await look(page, label);
  await page.setViewportSize({ width: 390, height: 844 });
  await look(page, `${label}-390`);
  await page.setViewportSize({ width: 1440, height: 900 });
}
