// Buttons of the leak lab, and who is suspect. All text is set as text.
"use strict";

const sections = new Map([...document.querySelectorAll(".leak")].map((section) => [section.dataset.name, section]));

async function ask(method, path) {
  const response = await fetch(path, { method });
  if (!response.ok) throw new Error((await response.text()).trim() || `status ${response.status}`);
  return response.json();
}

function show({ name, seconds_left: left, held, note }) {
  const section = sections.get(name);
  const [plant, stop] = section.querySelectorAll("button");
  plant.disabled = left > 0;
  stop.disabled = left === 0 && held === 0;
  section.dataset.state = left > 0 ? "planted" : "";
  const parts = [];
  if (left > 0) parts.push(`visited for ${left} s more`);
  if (held > 0) parts.push(`${held} objects have leaked`);
  if (left > 0 && note) parts.push(note);
  section.querySelector("output").textContent = parts.join("; ") || "not planted";
}

for (const [name, section] of sections) {
  for (const button of section.querySelectorAll("button")) {
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        show(await ask("POST", `/lab/${name}/${button.dataset.do}`));
      } catch (why) {
        section.querySelector("output").textContent = why.message;
      }
    });
  }
}

function suspects(list) {
  document.getElementById("none").hidden = list.length > 0;
  // Lines first: a route that leaks says less than the line that does.
  const lines = list.filter((suspect) => suspect.kind === "line");
  const items = [...lines, ...list.filter((suspect) => suspect.kind !== "line")].slice(0, 5).map((suspect) => {
    const item = document.createElement("li");
    const name = document.createElement("code");
    name.textContent = suspect.name;
    const more = document.createElement("small");
    const rate = (suspect.per_minute / 1048576).toFixed(1);
    const where = suspect.kind === "line" ? suspect.location.replace(/^.*\/(?=src\/)/, "") : "route or job";
    more.textContent = ` ${where}, +${rate} MiB a minute`;
    item.append(name, more);
    return item;
  });
  document.getElementById("suspects").replaceChildren(...items);
}

// Written only when it changes: it is read aloud then.
function say(text) {
  const status = document.getElementById("status");
  if (status.textContent !== text) status.textContent = text;
}

async function renew() {
  if (!document.hidden) {
    try {
      (await ask("GET", "/lab/")).forEach(show);
      suspects((await ask("GET", "/debug/tenure/suspects")).suspects);
      say("");
    } catch (why) {
      // The service has ended, or is busy.
      say(`This is not up to date; tried again every two seconds: ${why.message}`);
    }
  }
  setTimeout(renew, 2000);
}
renew();
