// Dialogs on the browser's own `<dialog>`: it keeps the focus inside, makes the rest inert and gives the focus back.
import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef } from "react";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button, IconButton } from "./button";
import { cx } from "./cx";

const t = texts("ui", ui);

interface Shell {
  open: boolean;
  onClose: () => void;
  /** Its name; read out when it opens. */
  label?: string;
  labelledBy?: string;
  className?: string;
  children: ReactNode;
  /** A click beside it closes it (not where typed text would be lost). */
  light?: boolean;
}

/** The bare dialog: modal, closes with Escape. */
export function Modal({ open, onClose, label, labelledBy, className, children, light = true }: Shell) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    if (!dialog || !open) return;
    if (!dialog.open) {
      dialog.showModal();
      // Where one wants to begin: the browser would take the button that closes it.
      dialog.querySelector<HTMLElement>("[data-autofocus], input:not([type=hidden], [type=checkbox], :disabled), textarea:not(:disabled), select:not(:disabled)")?.focus();
    }
    return () => dialog.close();
  }, [open]);
  if (!open) return null;
  return (
    <dialog
      ref={element}
      aria-label={label}
      aria-labelledby={labelledBy}
      className={className}
      onCancel={(event) => {
        if (event.target !== event.currentTarget) return;
        event.preventDefault();
        onClose();
      }}
      onPointerDown={(event) => {
        if (light && event.target === event.currentTarget) onClose();
      }}
    >
      {children}
    </dialog>
  );
}

/** A dialog with title, content and acts. */
export function Dialog({
  open,
  onClose,
  title,
  description,
  footer,
  children,
  size = "md",
  light,
}: {
  open: boolean;
  /** Without it the dialog stays until what it asks for is done. */
  onClose?: () => void;
  title: ReactNode;
  description?: ReactNode;
  footer?: ReactNode;
  children?: ReactNode;
  size?: "sm" | "md" | "lg" | "xl";
  light?: boolean;
}) {
  const id = useId();
  const width = { sm: "sm:w-[400px]", md: "sm:w-[520px]", lg: "sm:w-[720px]", xl: "sm:w-[960px]" }[size];
  return (
    <Modal
      open={open}
      onClose={onClose ?? (() => undefined)}
      labelledBy={id}
      light={light ?? false}
      className={cx(
        "fixed m-0 w-full bg-transparent p-0 max-sm:top-auto max-sm:bottom-0 sm:top-[9vh] sm:left-1/2 sm:-translate-x-1/2 animate-[rise_140ms_ease-out]",
        width,
      )}
    >
      <div className="flex max-h-[82vh] flex-col overflow-hidden rounded-xl border bg-raised shadow-pop max-sm:rounded-b-none">
        <header className="flex items-start gap-3 px-5 pt-4 pb-3">
          <div className="min-w-0 flex-1">
            <h2 id={id} className="text-lg font-semibold tracking-[-0.01em]">
              {title}
            </h2>
            {description && <p className="mt-0.5 text-sm text-muted">{description}</p>}
          </div>
          {onClose && <IconButton icon={X} label={t.close} onClick={onClose} className="-mt-1 -mr-2" />}
        </header>
        <div className="min-h-0 flex-1 overflow-y-auto px-5 pb-4">{children}</div>
        {footer && <footer className="flex items-center justify-end gap-2 border-t bg-sunken/60 px-5 py-3">{footer}</footer>}
      </div>
    </Modal>
  );
}

/** A panel from the right over the page. */
export function Sheet({ open, onClose, label, children, width = "sm:w-[440px]" }: { open: boolean; onClose: () => void; label: string; children: ReactNode; width?: string }) {
  return (
    <Modal
      open={open}
      onClose={onClose}
      label={label}
      className={cx("fixed inset-y-0 right-0 left-auto m-0 h-full w-full border-l bg-raised p-0 shadow-pop animate-[slide_160ms_ease-out]", width)}
    >
      <div className="flex h-full flex-col">{children}</div>
    </Modal>
  );
}

/** The usual end of a form in a dialog. */
export function DialogActions({ onCancel, submit, busy, form, danger }: { onCancel: () => void; submit: string; busy?: boolean; form?: string; danger?: boolean }) {
  return (
    <>
      <Button variant="ghost" onClick={onCancel}>
        {t.cancel}
      </Button>
      <Button variant={danger ? "danger" : "primary"} type="submit" form={form} busy={busy}>
        {submit}
      </Button>
    </>
  );
}
