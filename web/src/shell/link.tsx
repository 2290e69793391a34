import { useId, useRef, useState, useCallback } from "react";
import { RotateCw } from "lucide-react";
import { type LinkState, link, retryLive } from "@/lib/live";
import { time } from "@/lib/format";
import { useStore } from "@/lib/store";
import shell from "@/texts/en/shell";
import { texts } from "@/texts/catalogue";
import { Dot, type Tone } from "@/ui/badge";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { useFloat } from "@/ui/float";

const t = texts("shell", shell).link;

function words(state: LinkState): [label: string, tone: Tone] {
  switch (state.kind) {
    case "live":
      return [t.live, "ok"];
    case "reconnecting":
      return [`${t.reconnecting} · ${t.stale(time(new Date(state.since)))}`, "warn"];
    case "offline":
      return [`${t.offline} · ${t.stale(time(new Date(state.since)))}`, "bad"];
    case "idle":
      return [t.idle, "neutral"];
    default:
      return [t.connecting, "neutral"];
  }
}

/** Whether what is shown is true now: live, reconnecting, offline, and since when it may be old. */
export function Link() {
  const state = useStore(link);
  const [open, setOpen] = useState(false);
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const close = useCallback(() => setOpen(false), []);
  useFloat(button, box, open, close, "end");
  const [label, tone] = words(state);
  const broken = state.kind === "reconnecting" || state.kind === "offline";
  return (
    <>
      <button
        ref={button}
        type="button"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
        className={cx("flex h-7 items-center gap-2 rounded-md px-2 text-xs font-medium hover:bg-hover", broken ? "bg-warn-wash text-warn-ink" : "text-muted")}
      >
        <Dot tone={tone} alive={state.kind === "live"} />
        <span role="status">{label}</span>
      </button>
      {open && (
        <div ref={box} id={id} popover="auto" className="w-72 rounded-lg border! bg-raised! p-3! text-sm shadow-pop">
          <p>{broken ? t.staleHint : t.liveHint}</p>
          {broken && (
            <Button size="sm" icon={RotateCw} className="mt-2" onClick={retryLive}>
              {t.retry}
            </Button>
          )}
        </div>
      )}
    </>
  );
}
