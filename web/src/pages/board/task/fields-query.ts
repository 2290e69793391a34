import { queryOptions } from "@tanstack/react-query";
import { CustomFieldService } from "@/gen/missioncontrol/board/v1/fields_pb";
import { api } from "@/lib/api";

/** All custom fields of the organization, by label. */
export const fieldsQuery = queryOptions({
  queryKey: ["custom-fields", "list"],
  queryFn: async ({ signal }) => (await api(CustomFieldService).listCustomFields({}, { signal })).fields,
});
