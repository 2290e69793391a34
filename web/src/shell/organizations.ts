// Going to another organization: everything that was read belongs to the one before.
import { useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { useLocation } from "wouter";
import { OrganizationService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { restartLive } from "@/lib/live";
import shell from "@/texts/en/shell";
import { texts } from "@/texts/catalogue";
import { toast, toastError } from "@/ui/toast";

const t = texts("shell", shell);

/** `enter` shows the organization that is active now; `change` makes another one active first. */
export function useOrganizationSwitch(): { enter: (name: string) => void; change: (id: string, name: string) => Promise<void> } {
  const queries = useQueryClient();
  const [, go] = useLocation();
  const enter = useCallback(
    (name: string) => {
      toast({ tone: "ok", title: t.switched(name) });
      go("/");
      queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "me" });
      restartLive();
      void queries.invalidateQueries();
    },
    [queries, go],
  );
  const change = useCallback(
    async (id: string, name: string) => {
      try {
        await api(OrganizationService).setActiveOrganization({ organizationId: id });
        enter(name);
      } catch (error) {
        toastError(error, t.switchFailed);
      }
    },
    [enter],
  );
  return { enter, change };
}
