// Light or dark: as the system says, or as chosen here; loaded before anything is painted.
// Also closes an open menu of the top bar when something else is clicked or Escape is pressed.
"use strict";

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const stored = () => {
    try {
      return localStorage.getItem("bqn-theme") || "auto";
    } catch {
      return "auto";
    }
  };

  const apply = () => {
    const choice = stored();
    const dark = choice === "dark" || (choice === "auto" && system.matches);
    root.setAttribute("data-bs-theme", dark ? "dark" : "light");
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
  };

  root.classList.add("js");
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);

  const openMenus = () => document.querySelectorAll(".topbar > details[open]");

  addEventListener("DOMContentLoaded", () => {
    apply();
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.addEventListener("click", () => {
        try {
          localStorage.setItem("bqn-theme", button.dataset.themeChoice);
        } catch {
          // Without storage the choice cannot be kept; the system's stays.
        }
        apply();
      });
    }
    document.addEventListener("click", (event) => {
      for (const menu of openMenus()) {
        if (!menu.contains(event.target)) menu.open = false;
      }
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      for (const menu of openMenus()) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    });
  });
})();
