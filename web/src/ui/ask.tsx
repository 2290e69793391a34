// Asks for a few words before something is done. What was typed stays when the server refuses.
import type { ReactNode } from "react";
import { useForm } from "@/lib/form";
import { isMac } from "@/lib/hotkeys";
import { Store, useStore } from "@/lib/store";
import { Key } from "./badge";
import { Dialog, DialogActions } from "./dialog";
import { Field, FormFailure, TextArea } from "./field";

/** A question whose answer is a text. */
export interface TextQuestion {
  title: string;
  body?: ReactNode;
  /** Name of the text. */
  label: string;
  hint?: string;
  /** The word on the button: what happens. */
  action: string;
  danger?: boolean;
  /** What to say when nothing was typed; absent: nothing has to be. */
  missing?: string;
  /** Does it; the dialog stays with the reason when it fails. */
  send: (text: string) => Promise<unknown>;
}

const asked = new Store<{ question: TextQuestion; answer: (done: boolean) => void } | null>(null);

/** Asks; resolves with whether it was done. */
export function ask(question: TextQuestion): Promise<boolean> {
  asked.get()?.answer(false);
  return new Promise((resolve) => {
    asked.set({
      question,
      answer: (done) => {
        asked.set(null);
        resolve(done);
      },
    });
  });
}

/** Where questions show; once in the page. */
export function Asks() {
  const current = useStore(asked);
  return current && <Asking key={current.question.title} question={current.question} answer={current.answer} />;
}

function Asking({ question, answer }: { question: TextQuestion; answer: (done: boolean) => void }) {
  const form = useForm({
    initial: { reason: "" },
    check: ({ reason }) => (question.missing && reason.trim() === "" ? { reason: question.missing } : {}),
    send: async ({ reason }) => {
      await question.send(reason.trim());
      answer(true);
    },
  });
  return (
    <Dialog
      open
      onClose={() => answer(false)}
      title={question.title}
      footer={
        <>
          <span className="mr-auto hidden items-center gap-1 text-xs text-subtle sm:flex">
            <Key>{isMac ? "⌘" : "Ctrl"}</Key>
            <Key>↵</Key>
          </span>
          <DialogActions onCancel={() => answer(false)} submit={question.action} busy={form.busy} form="ask-form" danger={question.danger} />
        </>
      }
    >
      <form
        id="ask-form"
        onSubmit={form.submit}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.submit(event);
        }}
        className="space-y-3"
        noValidate
      >
        {question.body && <div className="text-sm text-muted">{question.body}</div>}
        <FormFailure>{form.failure}</FormFailure>
        <Field label={question.label} hint={question.hint} error={form.error("reason")} required={Boolean(question.missing)} optional={!question.missing}>
          <TextArea autoFocus rows={3} {...form.text("reason")} />
        </Field>
      </form>
    </Dialog>
  );
}
