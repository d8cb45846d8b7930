// Makes elements. Texts are always set as text, so that a name of a film is never read as HTML.

/** An element with properties, and children: elements or texts; `null` is left out. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name === "className" ? "class" : name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** 62 → 1:02, 3723 → 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const end = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${end}` : `${minutes}:${end}`;
}

export const counted = (count, name, several = `${name}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? name : several}`;

/** Words of the server as a sentence. */
export const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}${words.endsWith(".") ? "" : "."}`;

/** A name between marks that keep its writing direction to itself. */
export const nameOf = (text) => element("bdi", {}, text);

/** The address of a view with its parameters; empty ones are left out. */
export function address(view, parameters = {}) {
  const kept = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(kept).toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

export const filmAddress = (film, seconds) => address("film", { id: film, t: seconds?.toFixed(2) });
