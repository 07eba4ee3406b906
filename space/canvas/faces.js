// The strip of faces to paint: a picture for each with a tick once it is painted, and the event "select" with the number of the one chosen.

const strip = element.querySelector(".faces");

function show(value) {
  if (!value || !value.entries) return; // nothing yet, or what we have sent ourselves
  strip.replaceChildren(...value.entries.map((entry, index) => {
    const button = document.createElement("button"), picture = document.createElement("img"), caption = document.createElement("span");
    button.type = "button";
    button.title = `${entry.caption}, ${entry.painted ? "painted" : "not painted yet"}`;
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-current", index === value.now);
    picture.src = entry.picture;
    picture.alt = "";
    caption.textContent = entry.caption;
    button.append(picture, caption);
    if (entry.painted) button.append(Object.assign(document.createElement("i"), { textContent: "✓" }));
    button.addEventListener("click", () => {
      props.value = { now: index };
      trigger("select");
    });
    return button;
  }));
}

watch("value", () => show(props.value));
show(props.value);
