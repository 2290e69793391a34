import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useLocation, useParams } from "wouter";
import { type Agent, AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { organizationsQuery, useIsAdmin } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import { pathOf } from "@/lib/why";
import { boardsQuery } from "@/pages/boards/queries";
import agents from "@/texts/en/agents";
import { texts } from "@/texts/catalogue";
import { Page } from "@/ui/page";
import { Denied, QueryView } from "@/ui/states";
import { AgentForm } from "./agent-form";
import { agentQuery } from "./queries";

const t = texts("agents", agents);

/** Makes an agent, or changes one, with its files rendered beside the form. */
export default function EditAgent() {
  const { agentId } = useParams();
  return agentId ? <Change agentId={agentId} /> : <New />;
}

function useDone(): (agent: Agent) => void {
  const queries = useQueryClient();
  const [, go] = useLocation();
  return (agent) => {
    void queries.invalidateQueries({ queryKey: ["agents"] });
    void queries.invalidateQueries({ queryKey: ["provisioning", agent.id] });
    void queries.invalidateQueries({ queryKey: ["agent-files"] });
    go(`/agents/${agent.id}`);
  };
}

function New() {
  const done = useDone();
  const [params] = useSearchState();
  const boards = useQuery(boardsQuery);
  const admin = useIsAdmin();
  const organizations = useQuery(organizationsQuery);
  return (
    <Page title={t.new} above={[{ label: t.agents, to: "/agents" }]} wide>
      {organizations.data && !admin ? <Denied refused={{ method: pathOf(AgentService.method.createAgent) }} /> : <QueryView query={boards}>{() => <AgentForm boardId={params.get("board") ?? undefined} onDone={done} />}</QueryView>}
    </Page>
  );
}

function Change({ agentId }: { agentId: string }) {
  const done = useDone();
  const agent = useQuery(agentQuery(agentId));
  return (
    <Page title={t.editAgent} above={[{ label: t.agents, to: "/agents" }, { label: agent.data?.name ?? "…", to: `/agents/${agentId}` }]} wide>
      <QueryView query={agent}>{(data) => <AgentForm key={data.id} agent={data} onDone={done} />}</QueryView>
    </Page>
  );
}
