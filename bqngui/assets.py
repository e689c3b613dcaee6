"""Style sheets, scripts and fonts: an allow-list of files, read once at the start.

Own files come from `bqngui/static`, the others from installed packages (management
networks have no internet, so nothing comes from a CDN). Addresses carry a digest of all
files, so browsers keep them for a year and never see an old one.

    <script src="{{ asset('dashboard.js') }}" defer></script>
    <script src="{{ asset('vendor/htmx.min.js') }}" defer></script>

Edge: files of this program and of installed packages.
"""

from __future__ import annotations

import hashlib
import importlib.util
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Flask, abort, make_response
from werkzeug.wrappers import Response

from bqngui.authorization import public

_OWN = Path(__file__).parent / "static"
_BOOTSTRAP = "static/bootstrap5"
_ICONS = f"{_BOOTSTRAP}/css/font"

# name in an address -> (distribution for the message, package, path inside the package)
_VENDOR = {
    "vendor/bootstrap.min.css": ("Bootstrap-Flask", "flask_bootstrap", "css/bootstrap.min.css"),
    "vendor/bootstrap.min.js": ("Bootstrap-Flask", "flask_bootstrap", "js/bootstrap.min.js"),
    "vendor/popper.min.js": ("Bootstrap-Flask", "flask_bootstrap", "umd/popper.min.js"),
    "vendor/bootstrap-icons.min.css": (
        "Bootstrap-Flask",
        "flask_bootstrap",
        "css/font/bootstrap-icons.min.css",
    ),
    "vendor/fonts/bootstrap-icons.woff2": (
        "Bootstrap-Flask",
        "flask_bootstrap",
        "css/font/fonts/bootstrap-icons.woff2",
    ),
    "vendor/htmx.min.js": ("django-js-lib-htmx", "js_lib_htmx", "static/htmx/htmx.min.js"),
    "vendor/Chart.bundle.js": (
        "chartkick",
        "chartkick",
        "django/static/chartkick/Chart.bundle.js",
    ),
}
_INSIDE = {"flask_bootstrap": f"{_BOOTSTRAP}/"}


class AssetMissing(RuntimeError):
    """An installed package lacks a file that the pages need; names the package."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    content: bytes
    mimetype: str


def load() -> dict[str, Asset]:
    """All files that can be asked for.

    Raises:
        AssetMissing: a package is not installed or has another layout.
    """
    files = {
        path.relative_to(_OWN).as_posix(): path
        for path in sorted(_OWN.rglob("*"))
        if path.is_file()
    }
    for name, (distribution, package, inside) in _VENDOR.items():
        files[name] = _vendor_file(distribution, package, _INSIDE.get(package, "") + inside)
    return {name: Asset(_content(path), _mimetype(name)) for name, path in files.items()}


def register(app: Flask) -> None:
    """Serve the files and give templates `asset(name)`."""
    assets = load()
    digest = hashlib.sha256()
    for name in sorted(assets):
        digest.update(name.encode() + b"\0" + assets[name].content)
    release = digest.hexdigest()[:16]
    blueprint = Blueprint("assets", __name__)

    @blueprint.get("/assets/<release_asked>/<path:name>")
    @public
    def send(release_asked: str, name: str) -> Response:
        found = assets.get(name)
        if found is None:
            abort(404)
        response = make_response(found.content)
        response.mimetype = found.mimetype
        fresh = release_asked == release
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if fresh else "no-store"
        )
        return response

    @blueprint.get("/favicon.ico")
    @public
    def favicon() -> Response:
        return send(release, "favicon.svg")

    def asset(name: str) -> str:
        if name not in assets:
            raise AssetMissing(f"a template asks for {name}, which is not among the assets")
        return f"/assets/{release}/{name}"

    app.register_blueprint(blueprint)
    app.jinja_env.globals["asset"] = asset


def _vendor_file(distribution: str, package: str, inside: str) -> Path:
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / inside
        if path.is_file():
            return path
    raise AssetMissing(
        f"the package {distribution} does not provide {inside}:"
        " install it again with pip install -r requirements.txt"
    )


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".js":  # the maps are not served, and a browser's tools would ask for them
        lines = content.splitlines(keepends=True)
        if lines and lines[-1].startswith(b"//# sourceMappingURL="):
            content = b"".join(lines[:-1])
    return content


def _mimetype(name: str) -> str:
    if name.endswith(".woff2"):
        return "font/woff2"
    if name.endswith(".js"):
        return "text/javascript"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
