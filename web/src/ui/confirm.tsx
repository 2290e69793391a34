// Asks before something is destroyed, and says what.
import { type ReactNode, useState } from "react";
import { Store, useStore } from "@/lib/store";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "./button";
import { Dialog } from "./dialog";

const t = texts("ui", ui);

/** A question. */
export interface Question {
  title: string;
  /** Why one would, or what follows. */
  body?: ReactNode;
  /** What is destroyed, one line each (`12 tasks with their comments`). */
  destroys?: readonly string[];
  /** The word on the button: what happens. */
  action: string;
  /** Has to be typed first. */
  typed?: string;
  /** Not destructive: an ordinary button. */
  mild?: boolean;
}

const asked = new Store<{ question: Question; answer: (yes: boolean) => void } | null>(null);

/** Asks; resolves with whether the person agreed. */
export function confirm(question: Question): Promise<boolean> {
  asked.get()?.answer(false);
  return new Promise((resolve) => {
    asked.set({
      question,
      answer: (yes) => {
        asked.set(null);
        resolve(yes);
      },
    });
  });
}

/** Where questions show; once in the page. */
export function Confirmations() {
  const current = useStore(asked);
  return current && <Asking key={current.question.title} question={current.question} answer={current.answer} />;
}

function Asking({ question, answer }: { question: Question; answer: (yes: boolean) => void }) {
  const [typed, setTyped] = useState("");
  const ready = !question.typed || typed.trim() === question.typed;
  return (
    <Dialog
      open
      onClose={() => answer(false)}
      title={question.title}
      size="sm"
      footer={
        <>
          <Button variant="ghost" onClick={() => answer(false)} data-autofocus={!question.mild && !question.typed ? "" : undefined}>
            {t.cancel}
          </Button>
          <Button variant={question.mild ? "primary" : "danger"} disabled={!ready} onClick={() => answer(true)}>
            {question.action}
          </Button>
        </>
      }
    >
      <div className="space-y-3 text-sm text-muted">
        {question.body && <div>{question.body}</div>}
        {question.destroys && question.destroys.length > 0 && (
          <div className="rounded-md border border-transparent bg-bad-wash px-3 py-2 text-bad-ink">
            <p className="font-medium">{t.destroys}</p>
            <ul className="mt-1 list-disc pl-4">
              {question.destroys.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
            <p className="mt-1.5">{t.forGood}</p>
          </div>
        )}
        {question.typed && (
          <label className="block text-ink">
            <span className="text-xs font-medium">{t.typeToConfirm(question.typed)}</span>
            <input
              autoFocus
              value={typed}
              onChange={(event) => setTyped(event.target.value)}
              className="mt-1 h-8 w-full rounded-md border border-line-strong bg-surface px-2.5"
            />
          </label>
        )}
      </div>
    </Dialog>
  );
}
