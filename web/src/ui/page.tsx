// The frame of a page: its name, where it belongs, what can be done, and the content.
import { ChevronRight } from "lucide-react";
import { Fragment, type ReactNode, useEffect } from "react";
import { Link } from "wouter";
import { titleBadge } from "@/lib/title";
import { useStore } from "@/lib/store";
import { cx } from "./cx";

/** Header and scrolling body. `wide` uses the whole width. */
export function Page({
  title,
  above,
  lead,
  actions,
  children,
  wide,
  bare,
}: {
  title: string;
  /** Pages above it, from the outside in. */
  above?: readonly { label: string; to: string }[];
  /** A sentence, or facts, below the title. */
  lead?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  wide?: boolean;
  /** The page takes care of its own scrolling and padding. */
  bare?: boolean;
}) {
  useTitle(title);
  return (
    <div className="flex h-full min-w-0 flex-col">
      <header className="flex min-h-13 shrink-0 flex-wrap items-center gap-x-3 gap-y-2 border-b px-4 py-2 sm:px-6">
        <div className="min-w-[min(100%,11rem)] flex-1">
          <div className="flex min-w-0 items-center gap-1 text-base">
            {above?.map((place) => (
              <Fragment key={place.to}>
                <Link to={place.to} className="max-w-48 truncate rounded-sm text-muted hover:text-ink">
                  {place.label}
                </Link>
                <ChevronRight size={14} aria-hidden className="shrink-0 text-subtle" />
              </Fragment>
            ))}
            <h1 className="min-w-0 truncate font-semibold tracking-[-0.01em]">{title}</h1>
          </div>
          {lead && <div className="truncate text-xs text-muted">{lead}</div>}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </header>
      {bare ? (
        <div className="min-h-0 flex-1">{children}</div>
      ) : (
        <div className="min-h-0 flex-1 overflow-y-auto" tabIndex={-1}>
          <div className={cx("mx-auto px-4 py-5 sm:px-6", !wide && "max-w-6xl")}>{children}</div>
        </div>
      )}
    </div>
  );
}

/** The title of the browser's tab, with what waits in front. */
export function useTitle(title: string): void {
  const waiting = useStore(titleBadge);
  useEffect(() => {
    document.title = `${waiting > 0 ? `(${waiting}) ` : ""}${title} · Mission Control`;
  }, [title, waiting]);
}

/** A box with a heading. */
export function Card({ title, actions, children, className, flush }: { title?: ReactNode; actions?: ReactNode; children: ReactNode; className?: string; flush?: boolean }) {
  return (
    <section className={cx("rounded-lg border bg-surface shadow-card", className)}>
      {title && (
        <header className="flex min-h-11 items-center gap-2 border-b px-4 py-2">
          <h2 className="min-w-0 flex-1 truncate text-sm font-semibold">{title}</h2>
          {actions}
        </header>
      )}
      <div className={flush ? "" : "p-4"}>{children}</div>
    </section>
  );
}

// Whole names, so that the style sheet has them.
const HIDDEN: Readonly<Record<number, string>> = {
  2: "max-sm:[&_:is(th,td):nth-child(2)]:hidden",
  3: "max-sm:[&_:is(th,td):nth-child(3)]:hidden",
  4: "max-sm:[&_:is(th,td):nth-child(4)]:hidden",
  5: "max-sm:[&_:is(th,td):nth-child(5)]:hidden",
};

/** A table that scrolls sideways in itself. The first row of `head` names the columns; `narrow` are those (from 1) that a narrow window leaves out. */
export function Table({ label, head, children, narrow }: { label: string; head: readonly ReactNode[]; children: ReactNode; narrow?: readonly number[] }) {
  return (
    <div className={cx("overflow-x-auto", narrow?.map((column) => HIDDEN[column]).join(" "))} tabIndex={0} role="region" aria-label={label}>
      <table className="w-full text-left text-sm">
        <thead>
          <tr className="border-b text-xs text-subtle">
            {head.map((cell, index) => (
              <th key={index} scope="col" className="h-9 px-4 font-medium whitespace-nowrap">
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="[&>tr]:border-b [&>tr]:border-line-soft [&>tr:last-child]:border-0 [&>tr:hover]:bg-hover [&_td]:h-11 [&_td]:px-4 [&_td]:py-1.5">{children}</tbody>
      </table>
    </div>
  );
}

/** Names and values, one below the other. */
export function Facts({ items }: { items: readonly (readonly [ReactNode, ReactNode])[] }) {
  return (
    <dl className="grid grid-cols-[minmax(90px,auto)_1fr] gap-x-4 gap-y-2 text-sm">
      {items.map(([name, value], index) => (
        <Fragment key={index}>
          <dt className="text-muted">{name}</dt>
          <dd className="min-w-0 break-words">{value}</dd>
        </Fragment>
      ))}
    </dl>
  );
}
