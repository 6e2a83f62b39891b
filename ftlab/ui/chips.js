// Names as chips. What is typed and not yet a chip stays in the input whatever happens around it.
function add(parent, tag, name) {
  const part = document.createElement(tag);
  part.className = name;
  parent.append(part);
  return part;
}

function render({ model, el }) {
  const id = `ft-chips-${Math.random().toString(36).slice(2)}`;
  el.classList.add("ft-chips", "widget-inline-hbox");
  const label = add(el, "label", "widget-label");
  label.htmlFor = id;
  const box = add(el, "div", "ft-chip-box");
  const input = add(box, "input", "ft-chip-input");
  input.type = "text";
  input.id = id;
  const list = add(el, "datalist", "");
  list.id = `${id}-options`;
  input.setAttribute("list", list.id);

  function set(names) {
    model.set("value", names.filter((name, place) => names.indexOf(name) === place));
    model.save_changes();
  }
  function take() {
    const parts = model.get("splits") ? input.value.split(",") : [input.value];
    const names = parts.map((part) => part.trim()).filter(Boolean);
    input.value = "";
    if (names.length) set([...model.get("value"), ...names]);
  }
  function chip(name, place) {
    const shown = document.createElement("span");
    shown.className = "ft-chip";
    shown.textContent = name;
    const remove = add(shown, "button", "");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove ${name}`);
    remove.addEventListener("click", () => {
      set(model.get("value").filter((_, at) => at !== place));
      input.focus();
    });
    return shown;
  }
  function draw() {
    for (const old of box.querySelectorAll(".ft-chip")) old.remove();
    const names = model.get("value");
    box.prepend(...names.map(chip));
    input.placeholder = names.length ? "" : model.get("placeholder");
  }
  function describe() {
    label.textContent = model.get("description");
    label.title = input.title = model.get("tooltip");
    list.replaceChildren(...model.get("options").map((name) => new Option(name, name)));
  }

  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") take();
    if (event.key === "Backspace" && !input.value) set(model.get("value").slice(0, -1));
  });
  input.addEventListener("input", (event) => {
    const chosen = event.inputType === "insertReplacementText" || !event.inputType;
    const isOption = chosen && model.get("options").includes(input.value);
    if (isOption || (model.get("splits") && input.value.includes(","))) take();
  });
  input.addEventListener("blur", take);
  box.addEventListener("click", (event) => event.target === box && input.focus());
  model.on("change:value", draw);
  model.on("change:placeholder", draw);
  for (const name of ["description", "tooltip", "options"]) model.on(`change:${name}`, describe);
  describe();
  draw();
}

export default { render };
