// A list of runs as a table; the name of each is the button that shows it. All texts are set as
// text, so that no name can become markup.
const COLUMNS = ["status", "model", "step", "loss", "validation", "age", "size"];

function element(kind, className, ...content) {
  const made = document.createElement(kind);
  made.className = className;
  made.append(...content);
  return made;
}

function row(model, run) {
  const chosen = run.id === model.get("selected");
  const button = element("button", "ft-run-name", run.title);
  button.type = "button";
  button.title = run.id;
  button.dataset.id = run.id;
  button.setAttribute("aria-pressed", chosen);
  button.addEventListener("click", () => model.send({ select: run.id }));
  const tags = run.tags.map((tag) => element("span", "ft-tag", tag));
  const cells = COLUMNS.map((name) => element("td", `ft-run-${name}`, run[name]));
  cells.forEach((cell, i) => (cell.dataset.title = cell.textContent && COLUMNS[i]));
  cells[0].classList.add(`ft-${run.level}`);
  const made = element("tr", chosen ? "ft-chosen" : "", element("td", "", button, ...tags), ...cells);
  made.addEventListener("click", (event) => event.target === button || button.click());
  return made;
}

function render({ model, el }) {
  const draw = () => {
    const focused = el.contains(document.activeElement) && document.activeElement.dataset.id;
    const heads = ["run", ...COLUMNS].map((name) => {
      const head = element("th", `ft-run-${name}`, name);
      head.scope = "col";
      return head;
    });
    const body = element("tbody", "", ...model.get("runs").map((run) => row(model, run)));
    const head = element("thead", "", element("tr", "", ...heads));
    el.replaceChildren(element("table", "ft-runs", head, body));
    if (focused) el.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  };
  model.on("change:runs change:selected", draw);
  draw();
}

export default { render };
