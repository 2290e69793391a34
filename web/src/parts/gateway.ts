// How a gateway's connection and an agent's status look everywhere.
import { ConnectionPhase } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import parts from "@/texts/en/parts";
import { texts } from "@/texts/catalogue";
import type { Tone } from "@/ui/badge";

const t = texts("parts", parts);

/** A connection's phase in a word and a colour. */
export function phaseLooks(phase: ConnectionPhase | undefined): { tone: Tone; label: string; alive: boolean } {
  switch (phase) {
    case ConnectionPhase.CONNECTED:
      return { tone: "ok", label: t.phase.connected, alive: false };
    case ConnectionPhase.CONNECTING:
      return { tone: "info", label: t.phase.connecting, alive: true };
    case ConnectionPhase.PAIRING_REQUIRED:
      return { tone: "warn", label: t.phase.pairing, alive: true };
    case ConnectionPhase.REFUSED:
      return { tone: "bad", label: t.phase.refused, alive: false };
    case ConnectionPhase.UNREACHABLE:
      return { tone: "bad", label: t.phase.unreachable, alive: true };
    case ConnectionPhase.STOPPED:
      return { tone: "neutral", label: t.phase.stopped, alive: false };
    default:
      return { tone: "neutral", label: t.phase.unknown, alive: false };
  }
}

/** An agent's status in a word and a colour; what an agent says of itself is shown as it says it. */
export function statusLooks(status: string): { tone: Tone; label: string; alive: boolean } {
  const label = t.status[status] ?? status.charAt(0).toUpperCase() + status.slice(1).replaceAll("_", " ");
  switch (status) {
    case "online":
      return { tone: "ok", label, alive: false };
    case "offline":
      return { tone: "bad", label, alive: false };
    case "provisioning":
    case "updating":
      return { tone: "info", label, alive: true };
    case "deleting":
      return { tone: "warn", label, alive: true };
    default:
      return { tone: "violet", label, alive: false };
  }
}

/** A fingerprint in pairs, as certificate tools print it. */
export function fingerprintWords(hex: string): string {
  return (hex.replace(/[^0-9a-f]/gi, "").toUpperCase().match(/.{1,2}/g) ?? []).join(":");
}
