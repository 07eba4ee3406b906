// The strip of examples: the event "select" with the seed of a drawn face, or the event "submit" for the photograph.

const strip = element.querySelector(".examples");

function show(value) {
  if (!value || !value.entries) return; // what we have sent ourselves
  strip.replaceChildren(...value.entries.map((entry) => {
    const button = document.createElement("button"), picture = document.createElement("img"), caption = document.createElement("span");
    button.type = "button";
    button.title = entry.title;
    picture.src = entry.picture;
    picture.alt = "";
    caption.textContent = entry.caption;
    button.append(picture, caption);
    button.addEventListener("click", () => {
      const drawn = entry.seed !== null;
      props.value = drawn ? { seed: entry.seed } : {};
      trigger(drawn ? "select" : "submit");
    });
    return button;
  }));
}

watch("value", () => show(props.value));
show(props.value);
