"""Reads a page as a browser without JavaScript would: elements, their text, forms.

Only what the tour needs: find elements by tag, class and attribute; read their visible
text; take a form with the values that it would send.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"]
)
_INLINE = frozenset(["a", "b", "code", "del", "em", "i", "ins", "mark", "span", "strong"])
_UNSEEN = frozenset(["script", "style", "template", "head"])


@dataclass(slots=True)
class Element:
    """One element with its children in order; texts are children of type str."""

    tag: str
    attributes: Mapping[str, str]
    children: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """This element and all below it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def find_all(self, tag: str = "", css_class: str = "", **attributes: str) -> list[Element]:
        """Elements with that tag, that class and these attributes (`data_x` is `data-x`)."""
        wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
        return [
            element
            for element in self.walk()
            if tag in ("", element.tag)
            and (not css_class or css_class in element.attributes.get("class", "").split())
            and all(element.attributes.get(name) == value for name, value in wanted.items())
        ]

    @property
    def text(self) -> str:
        """The visible text, runs of white space made one space."""
        return " ".join("".join(self._texts()).split())

    @property
    def raw_text(self) -> str:
        """The text as it stands, for `pre` and `textarea`."""
        return "".join(self._texts())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag not in _UNSEEN:
                gap = "" if child.tag in _INLINE else " "
                yield gap
                yield from child._texts()
                yield gap


@dataclass(frozen=True, slots=True)
class Button:
    """A button that sends a form; with a name it is sent too."""

    label: str
    name: str
    value: str
    action: str | None


@dataclass(frozen=True, slots=True)
class Form:
    """A form with what it would send as it stands.

    `fields` are name and value in page order; unchecked boxes are not among them but in
    `choices`, which maps a name to all the values that its radios and boxes offer.
    """

    action: str
    method: str
    fields: tuple[tuple[str, str], ...]
    choices: Mapping[str, tuple[str, ...]]
    buttons: tuple[Button, ...]
    element: Element

    @property
    def names(self) -> set[str]:
        """Names of everything that can be filled in or chosen."""
        return {name for name, _ in self.fields} | set(self.choices)


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].tag == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def read_page(html: str) -> Element:
    """The tree of a page."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    return builder.root


def forms_of(page: Element) -> list[Form]:
    """The forms of a page, in order. Fields outside their form (`form=`) are found by its id."""
    return [_form(element, page) for element in page.find_all("form")]


def _form(element: Element, page: Element) -> Form:
    own_id = element.attributes.get("id")
    parts = [part for part in element.walk() if "form" not in part.attributes]
    if own_id:
        parts += page.find_all(form=own_id)
    fields: list[tuple[str, str]] = []
    choices: dict[str, tuple[str, ...]] = {}
    buttons: list[Button] = []
    for part in parts:
        name = part.attributes.get("name", "")
        kind = part.attributes.get("type", "")
        if part.tag == "button" or (part.tag == "input" and kind == "submit"):
            buttons.append(_button(part, name))
        elif name and "disabled" not in part.attributes and (read := _FIELDS.get(part.tag)):
            read(part, name, fields, choices)
    return Form(
        action=element.attributes.get("action", ""),
        method=element.attributes.get("method", "get").lower(),
        fields=tuple(fields),
        choices=choices,
        buttons=tuple(buttons),
        element=element,
    )


def _button(part: Element, name: str) -> Button:
    value = part.attributes.get("value", "")
    action = part.attributes.get("formaction")
    return Button(part.text or value, name, value, action)


Fields = list[tuple[str, str]]
Choices = dict[str, tuple[str, ...]]


def _input(part: Element, name: str, fields: Fields, choices: Choices) -> None:
    kind = part.attributes.get("type", "text")
    if kind in ("radio", "checkbox"):
        value = part.attributes.get("value", "on")
        choices[name] = (*choices.get(name, ()), value)
        if "checked" in part.attributes:
            fields.append((name, value))
    elif kind != "file":
        fields.append((name, part.attributes.get("value", "")))


def _textarea(part: Element, name: str, fields: Fields, _choices: Choices) -> None:
    # A browser drops the line break that follows the opening tag.
    fields.append((name, part.raw_text.removeprefix("\n")))


def _select(part: Element, name: str, fields: Fields, choices: Choices) -> None:
    options = part.find_all("option")
    values = tuple(option.attributes.get("value", option.text) for option in options)
    choices[name] = values
    chosen = [v for o, v in zip(options, values, strict=True) if "selected" in o.attributes]
    fields.extend((name, value) for value in (chosen or values[:1]))


_FIELDS: Mapping[str, Callable[[Element, str, Fields, Choices], None]] = {
    "input": _input,
    "textarea": _textarea,
    "select": _select,
}
