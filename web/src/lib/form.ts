// Forms that keep what was typed, and point at the field that the server refused with the server's words.
import { type FormEvent, useCallback, useRef, useState } from "react";
import { say, trouble, violations } from "./errors";

/** A form under way. */
export interface Form<T> {
  readonly values: T;
  readonly busy: boolean;
  /** What is wrong as a whole; field errors are with their fields. */
  readonly failure: string | undefined;
  /** Something was typed that has not been sent. */
  readonly dirty: boolean;
  set<K extends keyof T>(name: K, value: T[K]): void;
  /** Error of a field, by its name in the form. */
  error(name: keyof T): string | undefined;
  /** `value` and `onChange` of a text control. */
  text<K extends keyof T>(name: K): { value: string; onChange: (event: { target: { value: string } }) => void };
  /** For `<form onSubmit>`. */
  submit(event?: FormEvent): void;
  reset(values: T): void;
}

/** snake_case of the contract to the camelCase of generated types; the last segment of a path. */
export function fieldName(path: string): string {
  const last = path.split(".").filter((part) => !/^\d+$/.test(part) && part !== "body" && part !== "query")[0] ?? path;
  return last.replace(/\[\d+\]$/, "").replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** State of a form. `check` finds mistakes before anything is sent; `send` sends. */
export function useForm<T extends object>(options: {
  initial: T;
  check?: (values: T) => Partial<Record<keyof T, string>>;
  send: (values: T) => Promise<unknown>;
}): Form<T> {
  const [values, setValues] = useState(options.initial);
  const [errors, setErrors] = useState<Partial<Record<string, string>>>({});
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [dirty, setDirty] = useState(false);
  const latest = useRef({ options, values, busy });
  latest.current = { options, values, busy };

  const set = useCallback(<K extends keyof T>(name: K, value: T[K]) => {
    setValues((all) => ({ ...all, [name]: value }));
    setDirty(true);
    // A corrected field is not wrong any more until it is sent again.
    setErrors((all) => (all[name as string] === undefined ? all : { ...all, [name as string]: undefined }));
  }, []);

  const submit = useCallback((event?: FormEvent) => {
    event?.preventDefault();
    event?.stopPropagation();
    const form = event?.currentTarget;
    const now = latest.current;
    if (now.busy) return;
    const mistakes = now.options.check?.(now.values) ?? {};
    setFailure(undefined);
    if (Object.values(mistakes).some(Boolean)) {
      setErrors(mistakes as Partial<Record<string, string>>);
      focusFirst(form);
      return;
    }
    setErrors({});
    setBusy(true);
    now.options
      .send(now.values)
      .then(() => setDirty(false))
      .catch((error: unknown) => {
        if (trouble(error) === "signed-out") return;
        const known: Partial<Record<string, string>> = {};
        const rest: string[] = [];
        for (const { field, message } of violations(error)) {
          const name = fieldName(field);
          if (name in now.values) known[name] = known[name] ? `${known[name]} ${message}` : message;
          else rest.push(message);
        }
        setErrors(known);
        if (rest.length > 0) setFailure(rest.join(" "));
        else if (Object.keys(known).length === 0) setFailure(say(error));
        focusFirst(form);
      })
      .finally(() => setBusy(false));
  }, []);

  return {
    values,
    busy,
    failure,
    dirty,
    set,
    submit,
    error: (name) => errors[name as string],
    text: (name) => ({ value: String(values[name] ?? ""), onChange: (event) => set(name, event.target.value as T[typeof name]) }),
    reset: useCallback((fresh: T) => {
      setValues(fresh);
      setErrors({});
      setFailure(undefined);
      setDirty(false);
    }, []),
  };
}

function focusFirst(form: EventTarget | undefined): void {
  if (form instanceof HTMLElement) requestAnimationFrame(() => form.querySelector<HTMLElement>("[aria-invalid]")?.focus());
}
