// A native range input over the logarithm of its value, so that keys and readers work as usual.
const STEPS = 120; // twenty to a power of ten: neighbours still differ in two digits

function inWords(value) {
  return Number(value.toPrecision(2)).toExponential().replace("e+", "e");
}

function render({ model, el }) {
  el.classList.add("ft-slider");
  const part = (tag, name) => {
    const made = document.createElement(tag);
    made.className = name;
    el.append(made);
    return made;
  };
  const track = part("div", "ft-slider-track");
  const band = part("div", "ft-slider-band");
  const input = part("input", "ft-slider-input");
  input.type = "range";
  input.min = 0;
  input.max = STEPS;
  let held = false;

  const scale = () => [Math.log(model.get("lowest")), Math.log(model.get("highest"))];
  function share(value) {
    const [low, high] = scale();
    return Math.min(Math.max((Math.log(value) - low) / (high - low), 0), 1);
  }
  function value() {
    const [low, high] = scale();
    return Number(Math.exp(low + (input.value / STEPS) * (high - low)).toPrecision(2));
  }
  // A thumb's middle never comes nearer to an end than half its width.
  const across = (place) => `calc(var(--ft-thumb) / 2 + (100% - var(--ft-thumb)) * ${place})`;

  function draw() {
    const given = model.get("value");
    const best = model.get("best");
    const shown = given ?? best;
    input.setAttribute("aria-label", model.get("label"));
    input.classList.toggle("ft-unset", given === null);
    if (!held && shown !== null) input.value = Math.round(share(shown) * STEPS);
    input.setAttribute("aria-valuetext", shown === null ? "not given" : inWords(shown));
    const [low, high] = [model.get("low"), model.get("high")];
    band.hidden = low === null || high === null;
    if (!band.hidden) {
      band.style.left = across(share(low));
      band.style.right = across(1 - share(high));
    }
    input.title = band.hidden ? "" : `recommended: ${inWords(low)} to ${inWords(high)}`;
    track.style.left = across(0);
    track.style.right = across(0);
  }

  input.addEventListener("input", () => {
    held = true;
    model.set("value", value());
    model.save_changes();
  });
  const released = () => { held = false; draw(); };
  input.addEventListener("change", released);
  input.addEventListener("blur", released);
  for (const name of ["value", "lowest", "highest", "low", "high", "best", "label"]) {
    model.on(`change:${name}`, draw);
  }
  draw();
}

export default { render };
