// The join code: a button that copies it.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = document.getElementById(button.dataset.copy);
  const label = button.querySelector("span");
  code.select();
  try {
    await navigator.clipboard.writeText(code.value);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Marked: press Ctrl-C";
  }
});
