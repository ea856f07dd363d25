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
