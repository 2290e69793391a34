// Short messages that go away by themselves; those with an act or an error stay longer.
import { CircleAlert, CircleCheck, Info, X } from "lucide-react";
import { useEffect, useRef } from "react";
import { say, trouble } from "@/lib/errors";
import { Store, useStore } from "@/lib/store";
import { refusalOf, whyAsked } from "@/lib/why";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { IconButton } from "./button";
import { cx } from "./cx";

const t = texts("ui", ui);

/** A message. */
export interface Toast {
  tone?: "info" | "ok" | "bad";
  title: string;
  body?: string;
  action?: { label: string; run: () => void };
}

const shown = new Store<readonly (Toast & { id: number })[]>([]);
let next = 1;

/** Shows a message. */
export function toast(message: Toast): void {
  const id = next++;
  shown.set((all) => [...all.slice(-3), { ...message, id }]);
  setTimeout(() => dismiss(id), message.tone === "bad" || message.action ? 9000 : 4500);
}

/** Says that something failed and why, in the server's words. A lost sign-in has a dialog of its own. */
export function toastError(error: unknown, title: string): void {
  if (trouble(error) === "signed-out") return;
  const refused = refusalOf(error);
  toast({ tone: "bad", title, body: say(error), action: refused && { label: t.why, run: () => whyAsked.set(refused) } });
}

function dismiss(id: number): void {
  shown.set((all) => all.filter((one) => one.id !== id));
}

const ICONS = { info: Info, ok: CircleCheck, bad: CircleAlert };

/** Where messages show; once in the page. */
export function Toasts() {
  const all = useStore(shown);
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // In the top layer, above any dialog that opened meanwhile.
    const region = element.current;
    if (!region?.showPopover) return;
    if (region.matches(":popover-open")) region.hidePopover();
    if (all.length > 0) region.showPopover();
  }, [all]);
  return (
    <div
      ref={element}
      popover="manual"
      role="region"
      aria-label={t.notifications}
      className="pointer-events-none fixed! right-3! bottom-3! max-w-[calc(100vw-24px)] overflow-visible"
    >
      <ol aria-live="polite" className="flex w-[360px] max-w-full flex-col gap-2">
        {all.map(({ id, tone = "info", title, body, action }) => {
          const Icon = ICONS[tone];
          return (
            <li
              key={id}
              className="pointer-events-auto flex items-start gap-2.5 rounded-lg border bg-raised py-2.5 pr-1.5 pl-3 shadow-pop animate-[rise_160ms_ease-out]"
            >
              <Icon size={16} aria-hidden className={cx("mt-0.5 shrink-0", { info: "text-info", ok: "text-ok", bad: "text-bad" }[tone])} />
              <div role={tone === "bad" ? "alert" : undefined} className="min-w-0 flex-1 py-px">
                <p className="font-medium">{title}</p>
                {body && <p className="mt-0.5 text-xs break-words text-muted">{body}</p>}
                {action && (
                  <button
                    type="button"
                    className="mt-1 text-xs font-semibold text-info-ink hover:underline"
                    onClick={() => {
                      dismiss(id);
                      action.run();
                    }}
                  >
                    {action.label}
                  </button>
                )}
              </div>
              <IconButton icon={X} label={t.dismiss} size="sm" onClick={() => dismiss(id)} />
            </li>
          );
        })}
      </ol>
    </div>
  );
}
