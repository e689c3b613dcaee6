"""A person who has a keyboard only.

Edge: a browser.
"""

from __future__ import annotations

from playwright.sync_api import Page

MOST_STEPS = 120
PARTS_OF_A_DATE = 8
"""A field for a date has a stop for each of its parts, all in one element."""

_FOCUSED = """() => {
  const one = document.activeElement;
  const look = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  const group = one.closest(".option");
  const around = group ? getComputedStyle(group) : look;
  const lines = [look.outlineStyle, around.outlineStyle];
  const drawn = one.type === "datetime-local";  // the browser marks the part of a date
  return {
    id: one.id,
    name: one.outerHTML.slice(0, 120),
    seen: drawn || lines.some((line) => line !== "none") || look.boxShadow !== "none",
    inside: box.width > 0 && box.bottom > 0 && box.top < innerHeight,
    body: one === document.body,
  };
}"""


def tab_to(page: Page, name: str, *, back: bool = False) -> None:
    """Press Tab (or Shift and Tab) until the element with that id has the focus.

    On the way every stop must be seen, and none holds the focus (that is a trap).
    """
    before, held = "", 0
    for _ in range(MOST_STEPS):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        now = page.evaluate(_FOCUSED)
        if now["body"]:
            continue  # once around: the browser's own parts come next
        assert now["seen"], f"the focus is not seen at {now['name']}"
        assert now["inside"], f"the focus is out of sight at {now['name']}"
        held = held + 1 if now["name"] == before else 0
        assert held < PARTS_OF_A_DATE, f"the focus is caught at {now['name']}"
        if now["id"] == name:
            return
        before = now["name"]
    raise AssertionError(f"{name} was not reached in {MOST_STEPS} steps")


def write(page: Page, name: str, text: str) -> None:
    """Go to a field and write into it."""
    tab_to(page, name)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)


def press(page: Page, name: str, *, back: bool = False) -> None:
    """Go to a button or link and press it."""
    tab_to(page, name, back=back)
    page.keyboard.press("Enter")
