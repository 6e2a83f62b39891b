// A field for a secret: it is sent when it is whole, and stands nowhere in the page afterwards.
function add(parent, tag, name) {
  const part = document.createElement(tag);
  part.className = name;
  parent.append(part);
  return part;
}

function render({ model, el }) {
  const id = `ft-key-${Math.random().toString(36).slice(2)}`;
  el.classList.add("ft-key");
  const label = add(el, "label", "widget-label");
  label.htmlFor = id;
  label.textContent = "Together key";
  const input = add(el, "input", "ft-key-input");
  input.id = id;
  input.type = "password";
  input.autocomplete = "off";
  input.spellcheck = false;
  const forget = add(el, "button", "jupyter-button ft-key-forget");
  forget.type = "button";
  forget.textContent = "Forget";
  const note = add(el, "div", "ft-dim ft-key-note");

  function send() {
    const key = input.value;
    input.value = "";
    if (key.trim()) model.send({ key });
  }
  function draw() {
    const held = model.get("is_held");
    input.hidden = held;
    forget.hidden = !held;
    note.textContent = held
      ? "Held in this kernel's memory until it is used, and written nowhere."
      : "Or set TOGETHER_API_KEY before you start Jupyter. It is written nowhere.";
  }
  input.addEventListener("change", send); // also when one leaves the field for a button
  forget.addEventListener("click", () => model.send({ forget: true }));
  model.on("change:is_held", draw);
  draw();
}

export default { render };
