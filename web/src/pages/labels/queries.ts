import { queryOptions } from "@tanstack/react-query";
import { TagService } from "@/gen/missioncontrol/board/v1/board_pb";
import { CustomFieldService } from "@/gen/missioncontrol/board/v1/fields_pb";
import { api } from "@/lib/api";
import { readAll } from "@/lib/pages";

/** All tags of the organization, by name. */
export const tagsQuery = queryOptions({
  queryKey: ["tags", "list"],
  queryFn: ({ signal }) => readAll((limit, offset) => api(TagService).listTags({ limit, offset }, { signal })),
});

/** All custom fields of the organization, by label. */
export const fieldsQuery = queryOptions({
  queryKey: ["custom-fields", "list"],
  queryFn: async ({ signal }) => (await api(CustomFieldService).listCustomFields({}, { signal })).fields,
});
