// Numbers and times in words.

const PARTS = [
  ["decode", "decode", "From the last frame's arrival until the clip was complete"],
  ["queue", "queue", "Until the model had time for it"],
  ["boxes", "boxes", "Finding the people"],
  ["model", "model", "Answering"],
];

export function duration(seconds) {
  return seconds < 0.9995 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(2)} s`;
}

/** m:ss of a stream's own time. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Latency, its parts, pace and counts of a card. */
export class Figures {
  #root;
  #bars = new Map();
  #values = new Map();
  #counts = new Map();

  constructor(root) {
    this.#root = root;
    for (const [name, label, title] of PARTS) {
      const bar = make("i", name);
      const part = make("li");
      const value = make("b", "", "–");
      part.title = title;
      part.append(make("i", `swatch ${name}`), `${label} `, value);
      root.querySelector(".bar").append(bar);
      root.querySelector(".parts").append(part);
      this.#bars.set(name, bar);
      this.#values.set(name, value);
    }
    for (const [name, label, title] of [
      ["real_time_factor", "real time", "Seconds of video answered per second, over the last 30 seconds"],
      ["clips", "clips", "Clips that were answered or wait to be"],
      ["missed_clips", "missed", "Clips left out: late ones, and those in gaps"],
      ["lost", "lost", "Connections that broke, and attempts that failed"],
      ["stalls", "stalls", "Times that an open connection sent nothing for a while"],
    ]) {
      const cell = make("div");
      const value = make("dd", name, "–");
      cell.title = title;
      cell.append(make("dt", "", label), value);
      root.querySelector(".counts").append(cell);
      this.#counts.set(name, value);
    }
  }

  show(status) {
    const { latency_seconds: latency, stats } = status;
    for (const place of this.#root.querySelectorAll(".p50")) place.textContent = latency ? duration(latency.p50) : "–";
    const missed = stats.missed_clips ? `· ${stats.missed_clips.toLocaleString("en")} clips missed` : "";
    this.#root.querySelector(".missed-note").textContent = missed;
    this.#root.querySelector(".p99").textContent = latency ? duration(latency.p99) : "–";
    const sum = latency ? PARTS.reduce((total, [name]) => total + latency[name], 0) : 0;
    for (const [name] of PARTS) {
      this.#bars.get(name).style.width = sum ? `${(100 * latency[name]) / sum}%` : "0";
      this.#values.get(name).textContent = latency ? duration(latency[name]) : "–";
    }
    for (const [name, value] of this.#counts) {
      if (name === "real_time_factor") {
        value.textContent = latency ? `${status.real_time_factor.toFixed(2)} ×` : "–";
        continue;
      }
      value.textContent = stats[name].toLocaleString("en");
      value.classList.toggle("bad", name !== "clips" && stats[name] > 0);
    }
  }
}
