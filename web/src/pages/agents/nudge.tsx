import { useState } from "react";
import type { Agent } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { CoordinationService } from "@/gen/missioncontrol/agent/v1/coordination_pb";
import { OperationState } from "@/gen/missioncontrol/agent/v1/operations_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { useOperation } from "@/parts/operation";
import agents from "@/texts/en/agents";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, TextArea } from "@/ui/field";
import { Steps } from "@/ui/steps";
import parts from "@/texts/en/parts";

const t = texts("agents", agents);
const words = texts("ui", ui);
const p = texts("parts", parts);

/** Says something to an agent at once, and shows whether it got through. */
export default function Nudge({ agent, onClose }: { agent: Pick<Agent, "id" | "name" | "boardId">; onClose: () => void }) {
  const [sent, setSent] = useState<string>();
  const { operation, lost } = useOperation(sent);
  const form = useForm({
    initial: { message: "" },
    check: (values) => ({ message: values.message.trim() ? undefined : t.nudgeMissing }),
    send: async (values) => {
      const { operationId } = await api(CoordinationService).nudgeAgent({ agentId: agent.id, boardId: agent.boardId ?? "", message: values.message.trim() });
      setSent(operationId);
    },
  });
  const state = operation?.state === OperationState.SUCCEEDED ? "done" : operation?.state === OperationState.FAILED ? "failed" : "running";
  return (
    <Dialog
      open
      onClose={onClose}
      title={t.nudgeTitle(agent.name)}
      description={t.nudgeLead}
      footer={
        sent ? (
          <Button variant="primary" onClick={onClose}>
            {words.close}
          </Button>
        ) : (
          <DialogActions onCancel={onClose} submit={t.nudgeSend} busy={form.busy} form="nudge-form" />
        )
      }
    >
      {sent ? (
        <div role="status">
          <Steps
            label={t.nudge}
            words={p.state}
            steps={[
              {
                key: "sent",
                title: { done: t.nudgeSent(agent.name), failed: t.nudgeFailed, running: t.nudgeQueued }[state],
                state,
                detail: lost !== null ? p.operation.lost : state === "running" ? operation?.message || t.nudgeWaits : operation?.message,
              },
            ]}
          />
        </div>
      ) : (
        <form id="nudge-form" onSubmit={form.submit} noValidate className="space-y-4">
          <FormFailure>{form.failure}</FormFailure>
          <Field label={t.nudgeMessage} error={form.error("message")} required>
            <TextArea autoFocus rows={4} placeholder={t.nudgePlaceholder} {...form.text("message")} />
          </Field>
        </form>
      )}
    </Dialog>
  );
}
