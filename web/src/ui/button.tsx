import { LoaderCircle, type LucideIcon } from "lucide-react";
import type { ComponentProps, ReactNode } from "react";
import { Link } from "wouter";
import { cx } from "./cx";

const VARIANTS = {
  primary: "bg-primary text-on-primary hover:bg-primary-hover border-transparent shadow-card",
  default: "bg-surface text-ink hover:bg-hover border-line shadow-card",
  ghost: "bg-transparent text-muted hover:text-ink hover:bg-hover border-transparent",
  danger: "bg-bad text-on-bad hover:brightness-95 border-transparent shadow-card",
} as const;
const SIZES = { sm: "h-7 px-2 gap-1.5 text-xs", md: "h-8 px-3 gap-1.5 text-sm", lg: "h-9 px-4 gap-2 text-sm" } as const;

interface Looks {
  variant?: keyof typeof VARIANTS;
  size?: keyof typeof SIZES;
  icon?: LucideIcon;
  /** Something is under way: the button waits and says so. */
  busy?: boolean;
}

function looks({ variant = "default", size = "md" }: Looks, className?: string): string {
  return cx(
    "inline-flex items-center justify-center rounded-md border font-medium whitespace-nowrap select-none transition-colors duration-100 disabled:opacity-55 shrink-0",
    VARIANTS[variant],
    SIZES[size],
    className,
  );
}

/** A button with words. */
export function Button({ variant, size, icon: Icon, busy, className, children, disabled, type = "button", ...rest }: Looks & ComponentProps<"button">) {
  return (
    <button type={type} className={looks({ variant, size }, className)} disabled={disabled || busy} aria-busy={busy || undefined} {...rest}>
      {busy ? <LoaderCircle size={14} className="animate-spin" aria-hidden /> : Icon && <Icon size={14} aria-hidden />}
      {children}
    </button>
  );
}

/** A link that looks like a button. */
export function LinkButton({ variant, size, icon: Icon, className, to, children }: Looks & { to: string; className?: string; children: ReactNode }) {
  return (
    <Link to={to} className={looks({ variant, size }, className)}>
      {Icon && <Icon size={14} aria-hidden />}
      {children}
    </Link>
  );
}

/** A button that is an icon; `label` is its name, and shows on hover. */
export function IconButton({
  icon: Icon,
  label,
  hint,
  size = "md",
  active,
  className,
  type = "button",
  ...rest
}: { icon: LucideIcon; label: string; hint?: string; size?: "sm" | "md"; active?: boolean } & Omit<ComponentProps<"button">, "children">) {
  return (
    <button
      type={type}
      aria-label={label}
      title={hint ? `${label} (${hint})` : label}
      aria-pressed={active}
      className={cx(
        "inline-flex items-center justify-center rounded-md text-muted hover:text-ink hover:bg-hover transition-colors duration-100 shrink-0 disabled:opacity-50",
        size === "sm" ? "size-6" : "size-8",
        active && "bg-pressed text-ink",
        className,
      )}
      {...rest}
    >
      <Icon size={size === "sm" ? 14 : 16} aria-hidden />
    </button>
  );
}
