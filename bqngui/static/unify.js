// Keeps the answers on every change, so that they survive a reload; one request at a time,
// always of the whole form, so that the last one sent is the last one kept.
"use strict";

const form = document.getElementById("unify");
const saved = document.getElementById("unify-saved");
let wanted = false;
let busy = false;
let timer = 0;

const keep = async () => {
  if (busy) return;
  busy = true;
  while (wanted) {
    wanted = false;
    saved.textContent = "Saving…";
    try {
      const answer = await fetch(form.dataset.keep, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
      });
      if (answer.status === 401) location.reload();
      const told = await answer.json();
      if (told.refused) {
        saved.textContent = told.refused;
      } else {
        show(told);
        saved.textContent = "Saved";
      }
    } catch {
      saved.textContent = "Not saved: the server does not answer. Your answers are still here.";
    }
  }
  busy = false;
};

const show = (told) => {
  const status = document.getElementById("unify-status");
  const focused = status.contains(document.activeElement) ? document.activeElement.id : "";
  status.innerHTML = told.status;
  const general = document.getElementById("unify-general");
  if (general.innerHTML.trim() !== told.general.trim()) general.innerHTML = told.general;
  if (focused) document.getElementById(focused)?.focus();
  for (const row of form.querySelectorAll("[data-row]")) {
    const number = Number(row.dataset.row);
    row.classList.toggle("is-open", told.open.includes(number));
    const place = document.getElementById(`problems-${number}`);
    const html = told.problems[number] ?? "";
    if (place.innerHTML.trim() !== html.trim()) place.innerHTML = html;
  }
};

const soon = (delay) => {
  wanted = true;
  clearTimeout(timer);
  timer = setTimeout(keep, delay);
};

if (saved) {
  form.addEventListener("change", () => soon(0));
  form.addEventListener("input", (event) => {
    if (event.target.matches("textarea")) soon(400);
  });
}
