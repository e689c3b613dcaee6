// Puts the reader's own time before each moment in UTC; without JavaScript UTC alone is shown.
"use strict";

for (const time of document.querySelectorAll("time[data-moment]")) {
  const moment = new Date(time.dateTime);
  if (Number.isNaN(moment.valueOf()) || moment.getTimezoneOffset() === 0) continue;
  const local = document.createElement("span");
  local.className = "moment-local";
  local.textContent = moment.toLocaleString("sv-SE", { timeZoneName: "short" });
  time.classList.add("moment-both");
  time.prepend(local, " ");
}
