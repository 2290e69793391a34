// Dragging cards with mouse, pen or finger. While it lasts React renders nothing: the picture of the card is moved, and columns are marked, directly.
import { type RefObject, useEffect, useRef } from "react";

/** How far a mouse moves before a press is a drag. */
const THRESHOLD = 5;
/** How long a finger rests before it is one; shorter is scrolling or a tap. */
const REST = 260;
const EDGE = 48;

/** The column at a place; beside all of them, as at the edge of a phone, the nearest. */
function columnAt(area: HTMLElement, { x, y }: { x: number; y: number }): HTMLElement | null {
  const under = document.elementFromPoint(x, y);
  const column = under?.closest<HTMLElement>("[data-column]");
  if (column || !under || !area.contains(under)) return column ?? null;
  const far = (one: HTMLElement) => {
    const box = one.getBoundingClientRect();
    return Math.max(box.left - x, x - box.right);
  };
  return [...area.querySelectorAll<HTMLElement>("[data-column]")].sort((a, b) => far(a) - far(b))[0] ?? null;
}

/** Cards are `[data-task]`, columns `[data-column]`, both inside `root`; nothing is dragged without `drop`, which gets the card's id and the column's word. */
export function useCardDrag(root: RefObject<HTMLElement | null>, scroller: RefObject<HTMLElement | null>, drop: ((taskId: string, column: string) => void) | undefined): void {
  const latest = useRef(drop);
  latest.current = drop;
  const may = drop !== undefined;
  useEffect(() => {
    const area = root.current;
    if (!area || !may) return undefined;
    let card: HTMLElement | null = null;
    let ghost: HTMLElement | null = null;
    let column: HTMLElement | null = null;
    let start = { x: 0, y: 0 };
    let offset = { x: 0, y: 0 };
    let at = { x: 0, y: 0 };
    let timer: ReturnType<typeof setTimeout> | undefined;
    let frame = 0;
    let suppressClick = false;

    const mark = (next: HTMLElement | null) => {
      if (next === column) return;
      column?.removeAttribute("data-over");
      next?.setAttribute("data-over", "");
      column = next;
    };
    const paint = () => {
      frame = 0;
      if (!ghost) return;
      ghost.style.transform = `translate(${at.x - offset.x}px, ${at.y - offset.y}px) rotate(1.5deg)`;
      mark(columnAt(area, at));
      const box = scroller.current?.getBoundingClientRect();
      if (box && scroller.current) {
        const step = at.x > box.right - EDGE ? 14 : at.x < box.left + EDGE ? -14 : 0;
        const before = scroller.current.scrollLeft;
        if (step !== 0) {
          scroller.current.scrollLeft += step;
          if (scroller.current.scrollLeft !== before) schedule();
        }
      }
    };
    const schedule = () => {
      frame ||= requestAnimationFrame(paint);
    };
    const begin = () => {
      if (!card) return;
      const box = card.getBoundingClientRect();
      offset = { x: start.x - box.left, y: start.y - box.top };
      ghost = card.cloneNode(true) as HTMLElement;
      ghost.removeAttribute("data-task");
      ghost.setAttribute("aria-hidden", "true");
      ghost.style.cssText = `position:fixed;left:0;top:0;width:${box.width}px;pointer-events:none;z-index:60;box-shadow:var(--shadow-pop);will-change:transform`;
      document.body.append(ghost);
      card.setAttribute("data-dragged", "");
      document.documentElement.style.cursor = "grabbing";
      // On a phone columns snap into place: at the edge that would take back every step.
      if (scroller.current) scroller.current.style.scrollSnapType = "none";
      document.documentElement.style.userSelect = "none";
      schedule();
    };
    const end = (dropped: boolean) => {
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      frame = 0;
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", up);
      removeEventListener("pointercancel", cancel);
      removeEventListener("keydown", keys, true);
      const [moved, over, id] = [ghost !== null, column, card?.dataset["task"]];
      ghost?.remove();
      card?.removeAttribute("data-dragged");
      mark(null);
      document.documentElement.style.cursor = "";
      scroller.current?.style.removeProperty("scroll-snap-type");
      document.documentElement.style.userSelect = "";
      [ghost, card] = [null, null];
      if (moved) {
        suppressClick = true;
        setTimeout(() => (suppressClick = false), 0);
      }
      if (moved && dropped && over && id) latest.current?.(id, over.dataset["column"] ?? "");
    };
    const move = (event: PointerEvent) => {
      at = { x: event.clientX, y: event.clientY };
      if (ghost) {
        event.preventDefault();
        schedule();
        return;
      }
      const distance = Math.hypot(at.x - start.x, at.y - start.y);
      if (event.pointerType === "touch") {
        if (distance > 8) end(false);
      } else if (distance > THRESHOLD) begin();
    };
    const up = () => end(true);
    const cancel = () => end(false);
    const keys = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !ghost) return;
      event.preventDefault();
      event.stopPropagation();
      end(false);
    };
    const down = (event: PointerEvent) => {
      if (event.button !== 0 || event.ctrlKey || event.metaKey) return;
      card = (event.target as Element).closest<HTMLElement>("[data-task]");
      if (!card) return;
      start = at = { x: event.clientX, y: event.clientY };
      if (event.pointerType === "touch") timer = setTimeout(begin, REST);
      addEventListener("pointermove", move, { passive: false });
      addEventListener("pointerup", up);
      addEventListener("pointercancel", cancel);
      addEventListener("keydown", keys, true);
    };
    const click = (event: MouseEvent) => {
      if (!suppressClick) return;
      event.preventDefault();
      event.stopPropagation();
    };
    // A finger that drags a card does not scroll, and a long press has no menu.
    const touch = (event: TouchEvent) => {
      if (ghost) event.preventDefault();
    };
    const menu = (event: Event) => {
      if (card && timer !== undefined && matchMedia("(pointer: coarse)").matches) event.preventDefault();
    };
    const native = (event: Event) => event.preventDefault();
    area.addEventListener("pointerdown", down);
    area.addEventListener("click", click, true);
    area.addEventListener("touchmove", touch, { passive: false });
    area.addEventListener("contextmenu", menu);
    area.addEventListener("dragstart", native);
    return () => {
      end(false);
      area.removeEventListener("pointerdown", down);
      area.removeEventListener("click", click, true);
      area.removeEventListener("touchmove", touch);
      area.removeEventListener("contextmenu", menu);
      area.removeEventListener("dragstart", native);
    };
  }, [root, scroller, may]);
}
