// The strip of edits: a picture for each, and the event "select" with the number of the one that was chosen.

const strip = element.querySelector(".edits");

function show(value) {
  if (!value || !value.entries) return; // nothing yet, or what we have sent ourselves
  strip.replaceChildren(...value.entries.map((entry, index) => {
    const button = document.createElement("button"), picture = document.createElement("img"), caption = document.createElement("span");
    button.type = "button";
    button.title = entry.caption;
    button.setAttribute("aria-current", index === value.now);
    picture.src = entry.picture;
    picture.alt = "";
    caption.textContent = entry.caption;
    button.append(picture, caption);
    button.addEventListener("click", () => {
      props.value = { now: index };
      trigger("select");
    });
    return button;
  }));
  const now = strip.children[value.now];
  if (now) strip.scrollLeft = now.offsetLeft - strip.clientWidth / 2;
}

watch("value", () => show(props.value));
show(props.value);
