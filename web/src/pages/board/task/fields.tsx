import { useQuery } from "@tanstack/react-query";
import { type CustomField, CustomFieldVisibility } from "@/gen/missioncontrol/board/v1/fields_pb";
import type { TaskCard } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { json, jsonBytes } from "@/lib/rest";
import type { TaskActions } from "../actions";
import { FieldInput } from "./field-input";
import { fieldsQuery } from "./fields-query";
import { Property } from "./panel";

/** The fields that tasks of a board have. */
export function useBoardFields(boardId: string): readonly CustomField[] {
  const { data = [] } = useQuery(fieldsQuery);
  return data.filter((field) => field.boardIds.includes(boardId));
}

/** The custom fields of a task, changed in place. */
export function CustomFields({ boardId, task, actions, mayWrite }: { boardId: string; task: TaskCard; actions: TaskActions; mayWrite: boolean }) {
  const fields = useBoardFields(boardId);
  const values = json<Record<string, unknown>>(task.customFieldValues) ?? {};
  return fields
    .filter((field) => {
      const set = values[field.fieldKey] !== null && values[field.fieldKey] !== undefined;
      return field.uiVisibility === CustomFieldVisibility.ALWAYS || (field.uiVisibility === CustomFieldVisibility.IF_SET && set);
    })
    .map((field) => (
      <Property key={field.id} name={field.label}>
        <FieldInput
          field={field}
          value={values[field.fieldKey]}
          disabled={!mayWrite}
          save={(value) => actions.tryUpdate(task.id, { customFieldValues: jsonBytes({ [field.fieldKey]: value }) }, { customFieldValues: jsonBytes({ ...values, [field.fieldKey]: value }) })}
        />
      </Property>
    ));
}
