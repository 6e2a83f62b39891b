// A list of problems as buttons; a click brings the field into view and puts the cursor into it.
const PATIENCE = 40; // frames that a field that was hidden may take to appear

function go(el, where, left) {
  const form = el.closest(".ftlab") || document;
  const rows = [...form.querySelectorAll(".ft-form .ft-f-" + CSS.escape(where))];
  const row = rows.find((found) => found.offsetParent !== null);
  const input = row && row.querySelector("input, select, textarea, .jupyter-widget-tagsinput");
  if (input) {
    row.scrollIntoView({ block: "center" });
    input.focus({ preventScroll: true });
  } else if (left > 0) {
    requestAnimationFrame(() => go(el, where, left - 1));
  }
}

function item(model, problem, asked) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `ft-problem ft-${problem.level}`;
  button.title = problem.text;
  const shape = document.createElement("b");
  shape.textContent = problem.shape;
  const name = document.createElement("span");
  name.textContent = problem.where || problem.text;
  button.append(shape, " ", name);
  button.addEventListener("click", () => {
    asked.add(problem.where);
    model.send({ where: problem.where });
  });
  return button;
}

function render({ model, el }) {
  el.classList.add("ft-problems");
  const asked = new Set(); // another view of the same form must not take the cursor
  const draw = () => {
    el.replaceChildren(...model.get("problems").map((one) => item(model, one, asked)));
  };
  model.on("change:problems", draw);
  model.on("msg:custom", (message) => {
    if (asked.delete(message.focus)) go(el, message.focus, PATIENCE);
  });
  draw();
}

export default { render };
