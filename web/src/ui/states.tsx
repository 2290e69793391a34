// What a list or page shows when there is nothing to show: it loads, is empty, failed, or is not for this person.
import { Compass, Inbox, Lock, type LucideIcon, RotateCw, TriangleAlert } from "lucide-react";
import { Component, type ReactNode } from "react";
import { say, trouble } from "@/lib/errors";
import { type Refused, refusalOf, whyAsked } from "@/lib/why";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "./button";
import { cx } from "./cx";

const t = texts("ui", ui);

/** A calm message in an empty place, with what can be done about it. */
export function Notice({ icon: Icon = Inbox, title, children, action, className }: { icon?: LucideIcon; title: string; children?: ReactNode; action?: ReactNode; className?: string }) {
  return (
    <div className={cx("flex flex-col items-center justify-center px-6 py-12 text-center", className)}>
      <span className="mb-3 inline-flex size-10 items-center justify-center rounded-lg border bg-surface text-subtle shadow-card">
        <Icon size={18} aria-hidden />
      </span>
      <p className="font-medium">{title}</p>
      {children && <div className="mt-1 max-w-sm text-sm text-muted [overflow-wrap:anywhere]">{children}</div>}
      {action && <div className="mt-4 flex flex-wrap justify-center gap-2">{action}</div>}
    </div>
  );
}

/** Not for this person; why not can be asked when it is known what was refused. */
export function Denied({ refused, className }: { refused?: Refused; className?: string }) {
  return (
    <Notice icon={Lock} title={t.deniedTitle} className={className} action={refused && <Button onClick={() => whyAsked.set(refused)}>{t.why}</Button>}>
      {t.deniedBody}
    </Notice>
  );
}

/** Why something could not be read, and a way on. */
export function Failure({ error, retry, className }: { error: unknown; retry?: () => void; className?: string }) {
  const kind = trouble(error);
  if (kind === "denied") return <Denied refused={refusalOf(error)} className={className} />;
  if (kind === "missing") {
    return (
      <Notice icon={Compass} title={t.missingTitle} className={className}>
        {say(error) || t.missingBody}
      </Notice>
    );
  }
  return (
    <Notice
      icon={TriangleAlert}
      title={t.errorTitle}
      className={className}
      action={
        retry && (
          <Button icon={RotateCw} onClick={retry}>
            {t.retry}
          </Button>
        )
      }
    >
      <span role="alert">{say(error)}</span>
    </Notice>
  );
}

/** Grey lines in the shape of what comes. */
export function Skeleton({ lines = 5, className }: { lines?: number; className?: string }) {
  return (
    <div role="status" aria-label={t.loading} className={cx("space-y-2.5 p-1", className)}>
      {Array.from({ length: lines }, (_, line) => (
        <div key={line} className="skeleton h-8" style={{ width: `${100 - ((line * 17) % 35)}%` }} />
      ))}
    </div>
  );
}

/** One query in all its states: skeleton, failure with retry, no permission, empty, content. What was read stays while it is read again. */
export function QueryView<T>({
  query,
  skeleton = <Skeleton />,
  isEmpty,
  empty,
  children,
}: {
  query: { data: T | undefined; error: unknown; refetch: () => unknown };
  skeleton?: ReactNode;
  isEmpty?: (data: T) => boolean;
  empty?: ReactNode;
  children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) return <>{isEmpty?.(query.data) ? empty : children(query.data)}</>;
  if (query.error) return <Failure error={query.error} retry={() => query.refetch()} />;
  return <>{skeleton}</>;
}

/** Keeps a defect in its place; the rest of the page goes on. `key` it by what should give it another chance. */
export class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override render(): ReactNode {
    if (this.state.error === null) return this.props.children;
    return (
      <Notice
        icon={TriangleAlert}
        title={t.crashTitle}
        action={
          <>
            <Button onClick={() => this.setState({ error: null })}>{t.retry}</Button>
            <Button variant="ghost" onClick={() => location.reload()}>
              {t.reload}
            </Button>
          </>
        }
      >
        {t.crashBody}
      </Notice>
    );
  }
}

/** Drops what breaks without a word: for what adds to a page and is not the page. */
export class Quiet extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true };
  }

  override render(): ReactNode {
    return this.state.broken ? null : this.props.children;
  }
}
