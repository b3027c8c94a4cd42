// Draws what the kernel sends. The kernel escapes everything; nothing is fetched from anywhere.
const page = Math.random().toString(36).slice(2);

// JupyterLab takes arrows, Space and letters from whatever is no text field: the lists and boxes of a form need them.
// Ctrl+S, Shift+Enter and their like stay JupyterLab's.
window.addEventListener("keydown", ({ target, key, shiftKey, ctrlKey, altKey, metaKey }) => {
  if (!target.matches?.(".kn-form :is(select, input, button)")) return;
  const theirs = ctrlKey || altKey || metaKey || (shiftKey && key === "Enter");
  target.toggleAttribute("data-lm-suppress-shortcuts", !theirs);
}, true);

function node(name, kind, attributes = {}) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function put(where, key, value) {
  if (where[key] !== value) where[key] = value;
}

// Nodes that are kept from frame to frame: screen readers and focus hold on to them.
function live(el) {
  const top = node("div", "kn-top");
  const title = node("span", "kn-title");
  const count = node("span");
  const batch = node("span");
  const clock = node("span", "kn-soft");
  top.append(title, count, batch, clock);
  const bar = node("progress");
  const status = node("div", "kn-hidden", { role: "status", "aria-live": "polite" });
  const table = node("div", "kn-body");
  const details = node("details");
  const summary = node("summary");
  summary.textContent = "log";
  const log = node("pre", "kn-log", { tabindex: "0", "aria-label": "The last lines of the log" });
  details.append(summary, log);
  el.replaceChildren(top, bar, status, table, details);
  return (frame) => {
    put(title, "textContent", frame.title);
    put(count, "textContent", frame.count);
    put(batch, "textContent", frame.batch);
    put(clock, "textContent", frame.clock);
    bar.setAttribute("aria-label", frame.title);
    bar.className = "kn-is-" + frame.tone;
    put(bar, "max", frame.of);
    put(bar, "value", frame.value);
    put(status, "textContent", frame.status);
    if (table.dataset.was !== frame.table) {
      table.innerHTML = frame.table;
      table.dataset.was = frame.table;
    }
    if (log.textContent !== frame.log) {
      log.textContent = frame.log;
      log.scrollTop = log.scrollHeight;
    }
  };
}

const value = (cell) => cell.dataset.v ?? cell.textContent;

function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  if (a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sort(table, column, way) {
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((a, b) => way * compare(value(a.cells[column]), value(b.cells[column])));
  body.append(...rows);
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    if (place === column) head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
}

function search(el, words, told) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0;
  for (const row of el.querySelectorAll("tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every((word) => text.includes(word));
    all += 1;
    if (!row.hidden) shown += 1;
  }
  told.textContent = wanted.length ? `${shown} of ${all} rows` : "";
}

function html(el) {
  const tools = node("div", "kn-tools");
  const label = node("label");
  const input = node("input", "", { type: "search", placeholder: "every word has to match" });
  label.append("Search", input);
  const told = node("span", "kn-soft", { role: "status", "aria-live": "polite" });
  tools.append(label, told);
  const body = node("div");
  el.replaceChildren(tools, body);
  let sorted = null;
  input.addEventListener("input", () => search(body, input.value, told));
  // The notebook must not take typed letters for its own commands.
  for (const kind of ["keydown", "keypress", "keyup"]) input.addEventListener(kind, (event) => event.stopPropagation());
  return (frame) => {
    tools.hidden = !frame.tools;
    tools.style.display = frame.tools ? "" : "none";
    const opened = [...body.querySelectorAll("details")].map((one) => one.open);
    body.innerHTML = frame.html;
    [...body.querySelectorAll("details")].forEach((one, number) => (one.open = opened[number] ?? one.open));
    if (!frame.tools) return;
    for (const table of body.querySelectorAll("table.kn-t")) {
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        const button = node("button", "", { type: "button" });
        button.textContent = head.textContent;
        head.replaceChildren(button);
        button.addEventListener("click", () => {
          sorted = [column, head.getAttribute("aria-sort") === "ascending" ? -1 : 1];
          sort(table, ...sorted);
        });
      });
      if (sorted && sorted[0] < table.tHead.rows[0].cells.length) sort(table, ...sorted);
    }
    search(body, input.value, told);
  };
}

// One line that says what is going on; the node is kept, so that screen readers hear it.
function line(el) {
  const told = node("p", "kn-say", { role: "status", "aria-live": "polite" });
  el.replaceChildren(told);
  return (frame) => {
    told.className = "kn-say kn-is-" + frame.tone;
    put(told, "textContent", frame.text);
  };
}

const KINDS = { live, html, line };

// What an input shows, when it has taken in all that the kernel has sent before.
async function shown(model, id) {
  try {
    const input = await model.widget_manager.get_model(id);
    await input.state_change;
    const labels = input.get("_options_labels");
    return labels ? { index: input.get("index"), labels } : { value: input.get("value") };
  } catch {
    return {};
  }
}

function render({ model, el }) {
  el.classList.add("kn");
  let kind = null, draw = null;
  const show = () => {
    const frame = model.get("frame");
    if (!frame || !frame.kind) return;
    if (frame.kind !== kind) {
      kind = frame.kind;
      draw = KINDS[kind](el);
    }
    draw(frame);
  };
  const say = () => model.send({ event: "looks", page, visible: document.visibilityState !== "hidden" });
  const settle = async ({ event, ticket, inputs }) => {
    if (event !== "settle") return;
    model.send({ event: "settled", ticket, inputs: await Promise.all(inputs.map((id) => shown(model, id))) });
  };
  model.on("change:frame", show);
  model.on("msg:custom", settle);
  document.addEventListener("visibilitychange", say);
  show();
  say();
  return () => {
    model.off("change:frame", show);
    model.off("msg:custom", settle);
    document.removeEventListener("visibilitychange", say);
  };
}

export default { render };
