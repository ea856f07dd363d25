"use strict";

// A page opened from a file may not read other files, so the search shows titles without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// A button on each block of code: it copies what one types, without prompts and outputs.
function typed(block) {
  const copy = block.cloneNode(true);
  const prompts = copy.querySelectorAll(".gp");
  copy.querySelectorAll(".gp, .go, .gt, .gr, .linenos, button").forEach((part) => part.remove());
  const lines = copy.textContent.split("\n");
  return (prompts.length ? lines.filter((line) => line.trim()) : lines).join("\n").trim() + "\n";
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
