"""What every answer says about how browsers must treat it.

Own hooks instead of flask-talisman, whose HTTPS redirects would break the first start
with a self-signed certificate. HSTS is sent only with an own certificate: with a
self-signed one it would lock people out.

Core.
"""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)

FIXED = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = "max-age=31536000"


def protect(response: Response, *, hsts: bool) -> Response:
    """Add the headers; pages are never kept by a cache, assets say so themselves."""
    for name, value in FIXED.items():
        response.headers[name] = value
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    if hsts:
        response.headers["Strict-Transport-Security"] = HSTS
    return response


def sent_by_another_site() -> bool:
    """Whether a browser sent a changing request from a page of another site.

    Browsers tell it in `Sec-Fetch-Site`, older ones in `Origin`; programs send neither.
    The form token is checked besides.
    """
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site != "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and origin != request.host_url.rstrip("/")
