// Cards of layouts, and the event "select" with the id of the one that was pressed. Names come from strangers: they are set as text.

const wall = element.querySelector(".layouts");

function make(tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
}

function picture(card) {
  const frame = make("div");
  frame.className = "picture";
  if (card.picture) {
    const image = make("img");
    image.src = card.picture;
    image.alt = "A face, and its labels in this layout";
    frame.append(image);
  }
  return frame;
}

function classes(card) {
  const list = make("ul");
  list.className = "classes";
  list.append(...card.classes.map(({ name, color }) => {
    const item = make("li"), square = make("i");
    square.style.background = `rgb(${color.join(" ")})`;
    item.append(square, name);
    return item;
  }));
  return list;
}

function show(value) {
  if (!value || !value.cards) return; // nothing yet, or what we have sent ourselves
  wall.replaceChildren(...value.cards.map((card) => {
    const entry = make("li"), button = make("button", "Paint with it");
    button.type = "button";
    button.setAttribute("aria-label", `Paint with ${card.title}`);
    button.addEventListener("click", () => {
      props.value = { chosen: card.id };
      trigger("select");
    });
    entry.append(picture(card), make("h4", card.title), ...card.facts.map((fact) => make("p", fact)), classes(card), button);
    return entry;
  }));
}

watch("value", () => show(props.value));
show(props.value);
