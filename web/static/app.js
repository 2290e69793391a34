// The page for now: sign in, see the boards. It talks gRPC-web to the port it came from.

import { CallError, Code, fields, text, unary } from "./grpc-web.js";

const KEY = "mc_local_auth_token";
const HEALTH_INTERVAL = 30000;

const $ = (id) => document.getElementById(id);
let token = sessionStorage.getItem(KEY);
let asked = 0;

/** Decodes missioncontrol.board.v1.ListBoardsResponse. */
function boardsOf(bytes) {
  const page = { items: [], total: 0 };
  for (const [number, value] of fields(bytes)) {
    if (number === 1) page.items.push(boardOf(value));
    if (number === 2) page.total = value;
  }
  return page;
}

/** Decodes what is shown of missioncontrol.board.v1.Board. */
function boardOf(bytes) {
  const board = { name: "", description: "", type: "", objective: "", confirmed: false, id: "", updated: null };
  for (const [number, value] of fields(bytes)) {
    switch (number) {
      case 1: board.name = text(value); break;
      case 3: board.description = text(value); break;
      case 6: board.type = text(value); break;
      case 7: board.objective = text(value); break;
      case 10: board.confirmed = value === 1; break;
      case 18: board.id = text(value); break;
      case 21:
        for (const [part, seconds] of fields(value)) if (part === 1) board.updated = new Date(seconds * 1000);
        break;
    }
  }
  return board;
}

const listBoards = () => unary("/missioncontrol.board.v1.BoardService/ListBoards", new Uint8Array(), { token }).then(boardsOf);

/** An element with properties and children; texts are never HTML. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function when(date) {
  const seconds = Math.round((date - Date.now()) / 1000);
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const size = Math.abs(seconds);
  if (size < 60) return format.format(seconds, "second");
  if (size < 3600) return format.format(Math.round(seconds / 60), "minute");
  if (size < 86400) return format.format(Math.round(seconds / 3600), "hour");
  return format.format(Math.round(seconds / 86400), "day");
}

function card(board) {
  const facts = make("div", { className: "facts" }, make("span", { className: "tag", textContent: board.type || "board" }));
  if (board.confirmed) facts.append(make("span", { className: "tag good", textContent: "goal confirmed" }));
  if (board.updated) {
    facts.append(make("time", { dateTime: board.updated.toISOString(), title: board.updated.toLocaleString(), textContent: when(board.updated) }));
  }
  return make(
    "li",
    {},
    make("article", { className: "card board" }, make("h2", { textContent: board.name || "Untitled" }), make("p", { textContent: board.objective || board.description }), facts),
  );
}

function bones() {
  const bone = () =>
    make("li", {}, make("div", { className: "card board" }, make("div", { className: "bone wide" }), make("div", { className: "bone" }), make("div", { className: "bone short" })));
  return make("ul", { className: "grid", ariaHidden: "true" }, bone(), bone(), bone());
}

function state(kind, title, sentence, retry) {
  return make(
    "div",
    { className: `card state ${kind}` },
    make("h2", { textContent: title }),
    make("p", { className: "soft", textContent: sentence }),
    retry ? make("button", { className: "quiet", type: "button", textContent: "Try again", onclick: retry }) : null,
  );
}

function sentence(error) {
  if (!(error instanceof CallError)) return "The page met something it does not know. Reload it.";
  switch (error.code) {
    case Code.limited: return "Too many requests in a short time. Wait a moment, then try again.";
    case Code.unavailable:
    case Code.deadline: return `${error.message} Check that Mission Control runs, then try again.`;
    default: return error.message;
  }
}

function show(signedIn) {
  $("sign-in").hidden = signedIn;
  $("boards").hidden = !signedIn;
  $("sign-out").hidden = !signedIn;
}

function signOut(reason = "") {
  token = null;
  asked += 1;
  sessionStorage.removeItem(KEY);
  show(false);
  complain(reason);
  $("token").focus();
}

function complain(reason) {
  $("sign-in-error").textContent = reason;
  $("sign-in-error").hidden = !reason;
  $("token").setAttribute("aria-invalid", reason ? "true" : "false");
}

function render(page) {
  $("boards-count").textContent = page.total === 1 ? "1 board in your organization" : `${page.total} boards in your organization`;
  $("boards-body").replaceChildren(
    page.items.length > 0
      ? make("ul", { className: "grid" }, ...page.items.map(card))
      : state("", "No boards yet", "A board is the work of one team of agents. Create the first with POST /api/v1/boards, or through gRPC."),
  );
}

async function load() {
  const turn = ++asked;
  $("boards-body").replaceChildren(bones());
  $("boards-count").textContent = "Loading…";
  $("refresh").disabled = true;
  try {
    const page = await listBoards();
    if (turn === asked) render(page);
  } catch (error) {
    if (turn !== asked) return;
    if (error.code === Code.unauthenticated) return signOut("The token is not valid any more. Sign in again.");
    $("boards-count").textContent = "";
    $("boards-body").replaceChildren(state("bad", "The boards could not be loaded", sentence(error), load));
  } finally {
    $("refresh").disabled = false;
  }
}

async function signIn(event) {
  event.preventDefault();
  const button = $("sign-in-button");
  button.disabled = true;
  complain("");
  token = $("token").value.trim();
  try {
    const page = await listBoards();
    sessionStorage.setItem(KEY, token);
    $("token").value = "";
    show(true);
    render(page);
    $("main").focus();
  } catch (error) {
    token = null;
    complain(error.code === Code.unauthenticated ? "This token is not valid." : sentence(error));
    $("token").focus();
  } finally {
    button.disabled = false;
  }
}

async function health() {
  let kind = "bad";
  let words = "Not reachable";
  try {
    const response = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(8000) });
    const answer = await response.json();
    kind = answer.ok ? "good" : "bad";
    words = answer.ok ? "All parts are up" : `Missing: ${(answer.missing ?? []).join(", ")}`;
  } catch {
    // Told as it is: not reachable.
  }
  $("health").className = `health ${kind}`;
  if ($("health-text").textContent !== words) $("health-text").textContent = words;
}

$("host").textContent = location.host;
$("sign-in-form").addEventListener("submit", signIn);
$("sign-out").addEventListener("click", () => signOut());
$("refresh").addEventListener("click", load);
show(Boolean(token));
if (token) load();
else $("token").focus();
health();
setInterval(() => document.hidden || health(), HEALTH_INTERVAL);
