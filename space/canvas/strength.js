// How much of an edit is shown: { strength, can } from the server, where `can` says whether there is an edit; { strength } (percent) from
// the browser, with the event "input" while the slider moves and "release" when it stays.

const range = element.querySelector("input"), said = element.querySelector("output");
const tell = (percent) => (said.textContent = `${percent} %`);

for (const [happens, event] of [["input", "input"], ["change", "release"]]) {
  range.addEventListener(happens, () => {
    tell(range.value);
    props.value = { strength: Number(range.value) };
    trigger(event);
  });
}

function load(value) {
  if (!value || !("can" in value)) return; // nothing yet, or what we have sent ourselves
  range.disabled = !value.can;
  range.value = value.strength;
  tell(value.strength);
}

watch("value", () => load(props.value));
load(props.value);
