// Sends a file in pieces; the next goes when the kernel has written the one before.
const WAITING = 5000; // ms without an answer after which the reason is said

function part(parent, tag, name, text) {
  const made = document.createElement(tag);
  made.className = name;
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

function inWords(bytes) {
  return bytes < 1048576 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1048576).toFixed(0)} MiB`;
}

function render({ model, el }) {
  el.classList.add("ft-upload");
  const label = part(el, "label", "ft-upload-button");
  const input = part(label, "input", "");
  input.type = "file";
  input.accept = model.get("kinds").join(",");
  part(label, "span", "", model.get("label"));
  const cancel = part(el, "button", "ft-upload-cancel", "Cancel the upload");
  cancel.type = "button";
  const bar = part(el, "progress", "");
  const said = part(el, "span", "ft-upload-said");
  said.setAttribute("role", "status");
  let sending = null;
  let timer = 0;

  function show(text, level) {
    said.textContent = text;
    said.dataset.level = level || "";
    bar.hidden = cancel.hidden = !sending;
    input.disabled = !!sending;
    label.classList.toggle("ft-off", !!sending);
  }

  function wait() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (sending) show("Waiting for the kernel; it goes on when the running cell ends.", "");
    }, WAITING);
  }

  function end(text, level) {
    clearTimeout(timer);
    sending = null;
    input.value = "";
    show(text, level);
  }

  async function next(from) {
    const { id, file } = sending;
    bar.max = file.size;
    bar.value = from;
    show(`${file.name}: ${inWords(from)} of ${inWords(file.size)}`, "");
    let data;
    try {
      data = await file.slice(from, from + model.get("piece")).arrayBuffer();
    } catch (error) {
      model.send({ kind: "cancel", id });
      end(`${file.name} can't be read (${error.message}); it must stay as it was chosen. ` +
          "Choose it again.", "error");
      return;
    }
    if (!sending || sending.id !== id) return;
    model.send({ kind: "piece", id, from }, undefined, [data]);
    wait();
  }

  function answered(answer) {
    if (!sending || answer.id !== sending.id) return; // another window's
    if (answer.kind === "got") next(answer.n);
    else if (answer.kind === "done") {
      const other = answer.name === sending.file.name ? "" : `, as ${answer.name}`;
      end(`${sending.file.name} is uploaded${other}.`, "");
    } else if (answer.kind === "cancelled") end("Cancelled; nothing was kept.", "");
    else end(answer.text, "error");
  }

  input.addEventListener("change", () => {
    const file = input.files[0];
    if (!file) return;
    sending = { id: `${Date.now()}-${Math.random()}`, file };
    show(`${file.name}: starting`, "");
    model.send({ kind: "start", id: sending.id, name: file.name, size: file.size });
    wait();
  });
  cancel.addEventListener("click", () => {
    if (!sending) return;
    model.send({ kind: "cancel", id: sending.id });
    end("Cancelled; nothing was kept.", "");
  });
  model.on("msg:custom", answered);
  show("", "");
  return () => {
    if (sending) model.send({ kind: "cancel", id: sending.id });
    clearTimeout(timer);
    model.off("msg:custom", answered);
  };
}

export default { render };
