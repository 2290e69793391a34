// Fields of forms: label, control, hint and error that belong together for everybody.
import { type ComponentProps, createContext, type ReactNode, useContext, useId } from "react";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { cx } from "./cx";

const t = texts("ui", ui);

const FieldContext = createContext<{ id: string; describedBy?: string; invalid: boolean; required?: boolean } | null>(null);

/** A labelled control. The control inside takes its id and error by itself. */
export function Field({
  label,
  hint,
  error,
  required,
  optional,
  className,
  children,
}: {
  label: ReactNode;
  hint?: ReactNode;
  error?: string;
  required?: boolean;
  optional?: boolean;
  className?: string;
  children: ReactNode;
}) {
  const id = useId();
  const describedBy = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return (
    <div className={cx("space-y-1", className)}>
      <label htmlFor={id} className="flex items-baseline gap-1.5 text-xs font-medium text-ink">
        {label}
        {optional && <span className="font-normal text-subtle">{t.optional}</span>}
      </label>
      <FieldContext value={{ id, describedBy, invalid: Boolean(error), required }}>{children}</FieldContext>
      {error && (
        <p id={`${id}-error`} role="alert" className="text-xs text-bad-ink">
          {error}
        </p>
      )}
      {hint && (
        <p id={`${id}-hint`} className="text-xs text-subtle">
          {hint}
        </p>
      )}
    </div>
  );
}

function useField(props: { id?: string; "aria-describedby"?: string }) {
  const field = useContext(FieldContext);
  return {
    id: props.id ?? field?.id,
    "aria-describedby": props["aria-describedby"] ?? field?.describedBy,
    "aria-invalid": field?.invalid || undefined,
    "aria-required": field?.required || undefined,
  };
}

const CONTROL =
  "w-full rounded-md border border-line-strong bg-surface text-sm text-ink transition-colors hover:border-subtle aria-invalid:border-bad disabled:opacity-60 disabled:bg-sunken";

/** One line of text. */
export function Input({ className, ...rest }: ComponentProps<"input">) {
  return <input {...useField(rest)} {...rest} className={cx(CONTROL, "h-8 px-2.5", className)} />;
}

/** Many lines of text; grows with them. */
export function TextArea({ className, rows = 3, ...rest }: ComponentProps<"textarea">) {
  return <textarea {...useField(rest)} rows={rows} {...rest} className={cx(CONTROL, "min-h-16 px-2.5 py-1.5 leading-[1.5] field-sizing-content max-h-[50vh]", className)} />;
}

/** A choice of a few. */
export function Select({ className, children, ...rest }: ComponentProps<"select">) {
  return (
    <select {...useField(rest)} {...rest} className={cx(CONTROL, "h-8 px-2", className)}>
      {children}
    </select>
  );
}

/** A switch with its sentence. */
export function Switch({
  checked,
  onChange,
  label,
  hint,
  disabled,
}: {
  checked: boolean;
  onChange: (checked: boolean) => void;
  label: ReactNode;
  hint?: ReactNode;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <div className="flex items-start gap-3">
      <button
        type="button"
        role="switch"
        id={id}
        aria-checked={checked}
        aria-labelledby={`${id}-label`}
        aria-describedby={hint ? `${id}-hint` : undefined}
        disabled={disabled}
        onClick={() => onChange(!checked)}
        className={cx("relative mt-0.5 h-4.5 w-8 shrink-0 rounded-full transition-colors disabled:opacity-50", checked ? "bg-primary" : "bg-line-strong")}
      >
        <span className={cx("absolute top-0.5 left-0.5 size-3.5 rounded-full transition-transform", checked ? "translate-x-3.5 bg-on-primary" : "bg-white")} />
      </button>
      <div className="min-w-0">
        <label id={`${id}-label`} htmlFor={id} className="text-sm font-medium">
          {label}
        </label>
        {hint && (
          <p id={`${id}-hint`} className="text-xs text-muted">
            {hint}
          </p>
        )}
      </div>
    </div>
  );
}

/** A box to tick. */
export function Checkbox({ label, className, ...rest }: { label: ReactNode } & Omit<ComponentProps<"input">, "type">) {
  return (
    <label className={cx("flex items-center gap-2 text-sm", className)}>
      <input type="checkbox" {...rest} className="size-3.5 accent-(--primary)" />
      {label}
    </label>
  );
}

/** What is wrong with a form as a whole. */
export function FormFailure({ children }: { children: ReactNode }) {
  if (!children) return null;
  return (
    <p role="alert" className="rounded-md bg-bad-wash px-3 py-2 text-sm text-bad-ink">
      {children}
    </p>
  );
}
