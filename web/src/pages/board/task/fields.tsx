import type { TaskCard } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { json, jsonBytes } from "@/lib/rest";
import { Input } from "@/ui/field";
import type { TaskActions } from "../actions";
import { Property } from "./panel";

/** The custom fields of a task, changed in place. */
export function CustomFields({ task, actions, mayWrite }: { boardId: string; task: TaskCard; actions: TaskActions; mayWrite: boolean }) {
  const values = Object.entries(json<Record<string, unknown>>(task.customFieldValues) ?? {});
  return values.map(([key, value]) => (
    <Property key={key} name={key}>
      <Input
        aria-label={key}
        defaultValue={typeof value === "string" ? value : JSON.stringify(value)}
        readOnly={!mayWrite}
        onBlur={(event) => {
          if (event.target.value !== event.target.defaultValue) void actions.tryUpdate(task.id, { customFieldValues: jsonBytes({ [key]: event.target.value }) });
        }}
      />
    </Property>
  ));
}
