// Small help for the forms of Configuration, History and Users; all of them work without it:
// line numbers follow the text, a click on a problem goes to its place, a form is sent once,
// a token is copied.
"use strict";

for (const editor of document.querySelectorAll("[data-editor]")) {
  const numbers = editor.querySelector(".editor-lines");
  const text = editor.querySelector("textarea");
  const follow = () => {
    const lines = Math.max(text.value.split("\n").length + 2, 12);
    while (numbers.childElementCount > lines) numbers.lastElementChild.remove();
    while (numbers.childElementCount < lines) {
      const number = document.createElement("span");
      number.textContent = String(numbers.childElementCount + 1);
      numbers.append(number);
    }
    text.rows = lines;
  };
  text.addEventListener("input", follow);
}

for (const link of document.querySelectorAll("a[data-line]")) {
  link.addEventListener("click", (event) => {
    const text = document.getElementById(link.hash.slice(1));
    if (!text) return;
    event.preventDefault();
    const before = text.value.split("\n").slice(0, Number(link.dataset.line) - 1);
    const at = before.reduce((sum, line) => sum + line.length + 1, 0);
    const place = at + Math.max(Number(link.dataset.column) - 1, 0);
    text.focus();
    text.setSelectionRange(place, place);
    text.closest("[data-editor]")
      ?.querySelectorAll(".editor-lines span")
      [Number(link.dataset.line) - 1]?.scrollIntoView({ block: "center" });
  });
}

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-once]")) delete form.dataset.sent;
});

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const words = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      words.textContent = "Copied";
    } catch {
      words.textContent = "Select it and copy by hand";
    }
  });
}
