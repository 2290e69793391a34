import DOMPurify from "dompurify";
import { Marked } from "marked";
import { useEffect, useRef } from "react";

const ALLOWED = {
  ALLOWED_TAGS: ["a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "input", "li", "ol", "p", "pre", "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"],
  ALLOWED_ATTR: ["href", "title", "type", "checked", "disabled", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|\/|#)/i,
  RETURN_DOM_FRAGMENT: true,
} as const;

/** Event handlers are taken out before the browser sees them: even where they could never run, it reports each to the console. What is let through is
 *  decided by the sanitiser alone. */
const markdown = new Marked({
  gfm: true,
  breaks: true,
  async: false,
  renderer: { html: ({ text }) => text.replace(/[\s/"']on[a-z]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]*)/gi, "") },
});

/** Markdown to nodes: only what is allowed, no images (they would be asked of foreign servers), links that open beside. */
export function render(text: string, mentions: readonly string[] = []): DocumentFragment {
  const html = markdown.parse(text, { async: false });
  const fragment = DOMPurify.sanitize(html, ALLOWED as never) as unknown as DocumentFragment;
  for (const link of fragment.querySelectorAll("a")) {
    const href = link.getAttribute("href") ?? "";
    if (/^(?:https?:|mailto:)/i.test(href)) {
      link.target = "_blank";
      link.rel = "noopener noreferrer nofollow";
    }
  }
  for (const box of fragment.querySelectorAll("input")) {
    box.disabled = true;
    box.setAttribute("aria-label", box.checked ? "✓" : "–");
  }
  if (mentions.length > 0) mark(fragment, mentions);
  return fragment;
}

function mark(fragment: DocumentFragment, mentions: readonly string[]): void {
  const names = [...mentions].sort((a, b) => b.length - a.length).map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(^|[^\\w@])(@(?:${names.join("|")}))(?![\\w-])`, "giu");
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  const found: Text[] = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) if (!node.parentElement?.closest("code, a")) found.push(node as Text);
  for (const node of found) {
    const parts = node.data.split(pattern);
    if (parts.length < 4) continue;
    const out = document.createDocumentFragment();
    parts.forEach((part, index) => {
      if (index % 3 === 2) {
        const span = document.createElement("span");
        span.className = "mention";
        span.textContent = part;
        out.append(span);
      } else out.append(part);
    });
    node.replaceWith(out);
  }
}

export default function Rendered({ text, mentions }: { text: string; mentions?: readonly string[] }) {
  const element = useRef<HTMLDivElement>(null);
  const names = mentions?.join("\n") ?? "";
  useEffect(() => {
    element.current?.replaceChildren(render(text, names ? names.split("\n") : []));
  }, [text, names]);
  return <div ref={element} className="prose" />;
}
