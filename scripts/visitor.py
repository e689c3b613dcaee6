"""A visitor of one server's pages: HTTPS, cookies, forms; no JavaScript.

The certificate of the server is the only one that is trusted, as a careful person would
do who compared its fingerprint. Forms are sent with all their hidden fields, so the
protection against forged requests is passed, not avoided.

Edge: HTTPS.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

from scripts.page_reader import Element, Form, forms_of, read_page

_TIMEOUT_S = 60
_MOST_REDIRECTS = 5


class VisitError(Exception):
    """A page is not what was expected; the message says which and what it says instead."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was answered."""

    path: str
    status: int
    html: str
    tree: Element

    @property
    def text(self) -> str:
        """All that can be read on it."""
        return self.tree.text

    def form(self, *names: str, action: str = "") -> Form:
        """The first form that has all these fields (and an action that ends like this).

        Raises:
            VisitError: there is none.
        """
        for form in forms_of(self.tree):
            known = form.names | {button.name for button in form.buttons}
            if set(names) <= known and (form.action or self.path).endswith(action):
                return form
        have = "; ".join(f"{f.action}: {', '.join(sorted(f.names))}" for f in forms_of(self.tree))
        raise VisitError(
            f"{self.path} has no form {action} with {', '.join(names)}; it has: {have}"
        )

    def has_form(self, action: str) -> bool:
        """Whether there is a form with an action that ends like this."""
        return any((f.action or self.path).endswith(action) for f in forms_of(self.tree))


class Visitor:
    """One browser session at one server."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext) -> None:
        self.origin = f"https://{address}:{port}"
        self._address = address
        self._port = port
        self._context = context
        self._cookies: dict[str, str] = {}
        self._referer = self.origin + "/"

    def get(self, path: str) -> Page:
        """Fetch a page, following redirects.

        Raises:
            OSError: nothing answers.
            VisitError: the server answers with an error.
        """
        return self._follow("GET", path, None)

    def send(
        self,
        page: Page,
        form: Form,
        values: Mapping[str, str],
        press: str | None = None,
        status: int | None = None,
    ) -> Page:
        """Send a form of a page with these values in place of its own.

        `press` is the label, name or value of the button; the first one otherwise. A value
        for a name that the form does not have is an error, as it would be for a person.
        `status` is the answer that is expected where that is an error status.
        """
        unknown = set(values) - form.names
        if unknown:
            raise VisitError(f"the form {form.action} of {page.path} has no {', '.join(unknown)}")
        body = [(name, value) for name, value in form.fields if name not in values]
        body += list(values.items())
        action = form.action
        if form.buttons:
            pressed = form.buttons[0]
            if press is not None:
                pressed = next(
                    (b for b in form.buttons if press in (b.label, b.name, b.value)), pressed
                )
                if press not in (pressed.label, pressed.name, pressed.value):
                    labels = ", ".join(b.label for b in form.buttons)
                    raise VisitError(f"{page.path} has no button {press!r}; it has {labels}")
            action = pressed.action or action
            if pressed.name:
                body.append((pressed.name, pressed.value))
        target = urljoin(page.path, action) if action else page.path
        if form.method == "get":
            return self._follow("GET", f"{target.split('?')[0]}?{urlencode(body)}", None, status)
        return self._follow("POST", target, urlencode(body).encode(), status)

    def _follow(
        self, method: str, path: str, body: bytes | None, expected: int | None = None
    ) -> Page:
        for _ in range(_MOST_REDIRECTS):
            status, location, html = self._request(method, path, body)
            if location is None:
                page = Page(path, status, html, read_page(html))
                if status >= http.client.BAD_REQUEST and status != expected:
                    raise VisitError(f"{method} {path} answered {status}: {_main_text(page)}")
                self._referer = self.origin + path
                return page
            split = urlsplit(urljoin(self.origin + path, location))
            path = split.path + (f"?{split.query}" if split.query else "")
            method, body = "GET", None
        raise VisitError(f"{path} redirects without end")

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, str | None, str]:
        connection = http.client.HTTPSConnection(
            self._address, self._port, context=self._context, timeout=_TIMEOUT_S
        )
        headers = {"Referer": self._referer, "Origin": self.origin}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self._cookies.items())
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self.origin}{path}: {error!r}") from error
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self._cookies[name] = morsel.value
        return answer.status, answer.headers.get("Location"), text


def _main_text(page: Page) -> str:
    main = page.tree.find_all("main")
    return (main[0].text if main else page.text)[:400]


def context_trusting(certificate: str) -> ssl.SSLContext:
    """A context that trusts exactly the certificate in that PEM file."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    return context
