import { Fragment } from "react";
import { hotkeys, shown } from "@/lib/hotkeys";
import { useStore } from "@/lib/store";
import shell from "@/texts/en/shell";
import { texts } from "@/texts/catalogue";
import { Key } from "@/ui/badge";
import { Dialog } from "@/ui/dialog";

const t = texts("shell", shell).shortcuts;

/** All shortcuts that work here, by group. */
export default function Shortcuts({ onClose }: { onClose: () => void }) {
  const all = useStore(hotkeys);
  const groups = new Map<string, typeof all>();
  for (const hotkey of all) groups.set(hotkey.group, [...(groups.get(hotkey.group) ?? []), hotkey]);
  return (
    <Dialog open onClose={onClose} title={t.title} size="lg" light>
      <div className="grid gap-x-10 gap-y-5 sm:grid-cols-2">
        {[...groups].reverse().map(([group, list]) => (
          <section key={group}>
            <h3 className="mb-1.5 text-xs font-medium text-subtle">{group}</h3>
            <dl className="grid grid-cols-[1fr_auto] gap-y-1.5">
              {list.map((hotkey) => (
                <Fragment key={hotkey.keys + hotkey.label}>
                  <dt>{hotkey.label}</dt>
                  <dd className="flex items-center justify-end gap-1">
                    {shown(hotkey.keys).map((key, index) => (
                      <Fragment key={`${key}-${index}`}>
                        {index > 0 && <span className="text-2xs text-subtle">{t.then}</span>}
                        <Key>{key}</Key>
                      </Fragment>
                    ))}
                  </dd>
                </Fragment>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
