import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useIsAdmin, useOrganization } from "@/lib/me";
import { kept } from "@/lib/store";
import { stepsLeft } from "@/lib/setup";

/** Keeps the number of first steps that are left, until there are none: then this organization is never asked about again. */
export default function Background() {
  const admin = useIsAdmin();
  const organization = useOrganization();
  const key = `setup-done.${organization?.id ?? ""}`;
  const { data } = useQuery({
    queryKey: ["setup", organization?.id],
    enabled: admin && organization !== undefined && kept.get(key) === null,
    queryFn: async ({ signal }) => (await import("./left")).countLeft(signal),
  });
  useEffect(() => {
    stepsLeft.set(data ?? 0);
    if (data === 0) kept.set(key, "1");
    return () => stepsLeft.set(0);
  }, [data, key]);
  return null;
}
