import { useQueryClient } from "@tanstack/react-query";
import { BellRing, ExternalLink, KeyRound, MoreHorizontal, Pencil, RotateCw, Trash2 } from "lucide-react";
import { useState } from "react";
import { useLocation } from "wouter";
import type { Agent } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { later } from "@/lib/later";
import agents from "@/texts/en/agents";
import { texts } from "@/texts/catalogue";
import { Menu, type MenuItem } from "@/ui/menu";
import { deleteAgent, provisionAgain, rotateToken } from "./acts";

const t = texts("agents", agents);
const Nudge = later(() => import("./nudge"));

/** All that can be done with an agent. `here`: its own page is open. */
export function AgentMenu({ agent, here, onGone }: { agent: Agent; here?: boolean; onGone?: () => void }) {
  const queries = useQueryClient();
  const [, go] = useLocation();
  const [nudging, setNudging] = useState(false);
  const items: MenuItem[] = [
    ...(here ? [] : [{ label: t.open, icon: ExternalLink, run: () => go(`/agents/${agent.id}`) }]),
    ...(here ? [] : [{ label: t.nudge, icon: BellRing, disabled: !agent.boardId, run: () => setNudging(true) }]),
    { label: t.editAgent, icon: Pencil, run: () => go(`/agents/${agent.id}/edit`) },
    { label: t.again, icon: RotateCw, separated: true, run: () => void provisionAgain(agent, queries) },
    { label: t.rotate, icon: KeyRound, run: () => void rotateToken(agent, queries) },
    { label: t.delete, icon: Trash2, danger: true, separated: true, run: () => void deleteAgent(agent, queries).then((gone) => gone && onGone?.()) },
  ];
  return (
    <>
      <Menu label={t.actions(agent.name)} align="end" className="inline-flex size-8 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink" items={items}>
        <MoreHorizontal size={16} aria-hidden />
      </Menu>
      {nudging && <Nudge agent={agent} onClose={() => setNudging(false)} />}
    </>
  );
}
