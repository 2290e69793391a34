import { queryOptions } from "@tanstack/react-query";
import { SkillPackService, SkillService } from "@/gen/missioncontrol/agent/v1/skills_pb";
import { api } from "@/lib/api";
import { readAll } from "@/lib/pages";

/** All skills with what a gateway has of them. */
export const skillsQuery = (gatewayId: string) =>
  queryOptions({
    queryKey: ["skills", gatewayId],
    queryFn: ({ signal }) =>
      readAll(async (limit, offset) => {
        const page = await api(SkillService).listMarketplaceSkills({ gatewayId, limit, offset }, { signal });
        return { items: page.skills, total: page.total ?? page.skills.length };
      }, 20_000),
  });

/** All packs, newest first. */
export const packsQuery = queryOptions({
  queryKey: ["skill-packs"],
  queryFn: async ({ signal }) => (await api(SkillPackService).listSkillPacks({}, { signal })).packs,
});
