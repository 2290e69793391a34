import { Rocket } from "lucide-react";
import { definePage } from "@/lib/page";
import fleet from "@/texts/en/fleet";
import { texts } from "@/texts/catalogue";

const t = texts("fleet", fleet);

export default definePage({
  routes: [{ path: "/start", load: () => import("./start") }],
  commands: () => [{ id: "first-steps", label: t.start, group: t.start, icon: Rocket, to: "/start", words: "setup onboarding begin guide" }],
  live: [{ types: ["task."], invalidates: [["first-task"]] }],
});
