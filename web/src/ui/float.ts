// Places a popover beside what opened it. The popover itself is the browser's own: it is in the top layer, closes with Escape or a click beside it.
import { type RefObject, useLayoutEffect } from "react";

const GAP = 4;
const EDGE = 8;

/** Shows `element` as a popover at `anchor` while `open`; tells `onClose` when the browser closed it. */
export function useFloat(
  anchor: RefObject<HTMLElement | null>,
  element: RefObject<HTMLElement | null>,
  open: boolean,
  onClose: () => void,
  align: "start" | "end" = "start",
): void {
  useLayoutEffect(() => {
    const [from, box] = [anchor.current, element.current];
    if (!open || !from || !box) return;
    const place = () => {
      const at = from.getBoundingClientRect();
      const { offsetWidth: width, offsetHeight: height } = box;
      const below = at.bottom + GAP + height <= innerHeight - EDGE || at.top - GAP - height < EDGE;
      const left = align === "start" ? at.left : at.right - width;
      box.style.left = `${Math.max(EDGE, Math.min(left, innerWidth - width - EDGE))}px`;
      box.style.top = below ? `${Math.min(at.bottom + GAP, Math.max(EDGE, innerHeight - height - EDGE))}px` : `${at.top - GAP - height}px`;
    };
    const toggled = (event: Event) => {
      if ((event as ToggleEvent).newState === "closed") onClose();
    };
    box.style.position = "fixed";
    box.showPopover();
    place();
    const watcher = new ResizeObserver(place);
    watcher.observe(box);
    box.addEventListener("toggle", toggled);
    addEventListener("resize", place);
    addEventListener("scroll", place, true);
    return () => {
      watcher.disconnect();
      box.removeEventListener("toggle", toggled);
      removeEventListener("resize", place);
      removeEventListener("scroll", place, true);
      if (box.matches(":popover-open")) box.hidePopover();
    };
  }, [anchor, element, open, onClose, align]);
}
