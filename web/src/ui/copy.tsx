import { Check, Copy } from "lucide-react";
import { useState } from "react";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { IconButton } from "./button";
import { toast } from "./toast";

const t = texts("ui", ui);

/** Copies a text. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    toast({ tone: "bad", title: t.copyFailed });
    return false;
  }
}

/** A button that copies. */
export function CopyButton({ text, label = t.copy }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  return (
    <IconButton
      icon={done ? Check : Copy}
      label={done ? t.copied : label}
      size="sm"
      onClick={() =>
        void copy(text).then((ok) => {
          setDone(ok);
          setTimeout(() => setDone(false), 1500);
        })
      }
    />
  );
}

/** Something to copy: an address, a command, a secret shown once. */
export function CopyBox({ text, label }: { text: string; label: string }) {
  return (
    <div className="flex items-center gap-2 rounded-md border bg-sunken py-1 pr-1 pl-3">
      <code className="min-w-0 flex-1 overflow-x-auto font-mono text-xs whitespace-nowrap" tabIndex={0} role="region" aria-label={label}>
        {text}
      </code>
      <CopyButton text={text} />
    </div>
  );
}
