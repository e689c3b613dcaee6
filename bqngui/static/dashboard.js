// Refreshes every element with data-live every two seconds from that address.
// Nothing is asked while the page is hidden, and one request is out at a time. The header
// tells the server that no person did this: it keeps no session alive. Only the parts that
// the server changed are replaced, so that a marked text or a pressed button stays.
"use strict";

const PERIOD_MS = 2000;
const TOKEN = /name="csrf_token" value="[^"]*"/g;

const partsOf = (text) => {
  const holder = document.createElement("template");
  holder.innerHTML = text;
  return [...holder.content.children];
};

const written = (part) => part.outerHTML.replace(TOKEN, "");

for (const place of document.querySelectorAll("[data-live]")) {
  let last = partsOf(place.innerHTML).map(written);
  let busy = false;

  const show = (parts) => {
    const texts = parts.map(written);
    const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
    if (parts.length !== last.length) {
      place.replaceChildren(...parts);
    } else {
      const shown = [...place.children];
      parts.forEach((part, i) => {
        if (texts[i] !== last[i]) shown[i].replaceWith(part);
      });
    }
    last = texts;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (document.hidden || busy) return;
    busy = true;
    try {
      const answer = await fetch(place.dataset.live, { headers: { "BQN-Background": "1" } });
      if (answer.status === 401) location.reload();
      else if (answer.ok) show(partsOf(await answer.text()));
      place.classList.toggle("live-stale", !answer.ok);
    } catch {
      place.classList.add("live-stale");
    } finally {
      busy = false;
    }
  };

  setInterval(refresh, PERIOD_MS);
  document.addEventListener("visibilitychange", refresh);
}
