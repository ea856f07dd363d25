"use strict";

// A page opened from a file may not read other files, so the search shows titles without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// A button on each block of code: it copies what one types, without prompts and outputs.
function typed(block) {
  const copy = block.cloneNode(true);
  copy.querySelectorAll(".go, .gt, .gr, .linenos, button").forEach((part) => part.remove());
  const text = copy.textContent;
  return copy.querySelector(".gp") ? withoutPrompts(text) : text.trim() + "\n";
}

// Python's own prompt needs an empty line behind a def or a for. Behind other lines it does no harm.
function withoutPrompts(session) {
  const lines = [];
  const end = () => /^\s/.test(lines.at(-1) ?? "") && lines.push("");
  for (const line of session.split("\n")) {
    if (line.startsWith(">>>")) end();
    if (/^(>>>|\.\.\.) ./.test(line)) lines.push(line.slice(4));
  }
  end();
  return lines.join("\n") + "\n";
}

async function put(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.body.appendChild(document.createElement("textarea")); // from a file
  area.value = text;
  area.select();
  document.execCommand("copy");
  area.remove();
}

document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll("div.highlight pre")) {
    const button = document.createElement("button");
    button.className = "copy";
    button.type = "button";
    button.textContent = "copy";
    button.setAttribute("aria-label", "copy this code");
    button.addEventListener("click", async () => {
      await put(typed(block));
      button.textContent = "copied";
      setTimeout(() => (button.textContent = "copy"), 1500);
    });
    block.parentElement.append(button);
  }
});

// Names of modules may break at their dots, and outputs that are sentences at their spaces.
document.addEventListener("DOMContentLoaded", () => {
  for (const name of document.querySelectorAll("td code:not(.short) .pre")) {
    const parts = name.textContent.split(/(?<=\w\.)(?=\w{3})/);
    const broken = parts.flatMap((part) => [document.createElement("wbr"), part]);
    name.replaceChildren(...broken.slice(1));
  }
  for (const line of document.querySelectorAll(".go")) {
    line.classList.toggle("long", line.textContent.length > 80);
  }
});

// A table that is too wide scrolls beneath its first column, unless that takes half of the width.
function holdFirstColumns() {
  for (const wrapper of document.querySelectorAll(".table-wrapper")) {
    const first = wrapper.querySelector("td, th");
    const narrow = first && first.offsetWidth < 0.55 * wrapper.clientWidth;
    wrapper.classList.toggle("scrolls", narrow && wrapper.scrollWidth > wrapper.clientWidth);
  }
}
addEventListener("load", holdFirstColumns);
addEventListener("resize", holdFirstColumns);
