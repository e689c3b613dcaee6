from __future__ import annotations

import re
from pathlib import Path

import pytest

from bqngui.assets import AssetMissing, load
from tests.support.site import Site

VENDORED = {
    "vendor/bootstrap.min.css": b"Bootstrap  v5.3.8",
    "vendor/bootstrap-icons.min.css": b"Bootstrap Icons v1.13.1",
    "vendor/htmx.min.js": b'version:"2.0.3"',
    "vendor/Chart.bundle.js": b"Chart.js v4",
}


def url_of(site: Site, name: str) -> str:
    with site.app.test_request_context(base_url="https://localhost"):
        return site.app.jinja_env.from_string("{{ asset(name) }}").render(name=name)


def test_the_installed_packages_are_the_tried_ones() -> None:
    assets = load()
    for name, mark in VENDORED.items():
        assert mark in assets[name].content, name


def test_every_file_has_a_type_and_browsers_keep_it(site: Site) -> None:
    visitor = site.visitor()
    for name, asset in load().items():
        answer = visitor.get(url_of(site, name))
        assert answer.status_code == 200
        assert answer.data == asset.content
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.mimetype in {"text/css", "text/javascript", "font/woff2", "image/svg+xml"}


def test_an_address_of_another_release_is_answered_but_not_kept(site: Site) -> None:
    url = re.sub(r"/assets/\w+/", "/assets/0123456789abcdef/", url_of(site, "app.css"))
    assert site.visitor().get(url).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "name", ["nothing.css", "../settings.py", "..%2Fsettings.py", "vendor/htmx.js", ""]
)
def test_only_the_listed_files_are_served(site: Site, name: str) -> None:
    assert site.visitor().get(f"/assets/x/{name}").status_code == 404


def test_style_sheets_ask_for_nothing_that_is_not_served() -> None:
    assets = load()
    for name, asset in assets.items():
        if not name.endswith(".css"):
            continue
        for target in re.findall(rb"url\(\"?([^)\"]+)\"?\)", asset.content):
            path = target.decode().split("?")[0]
            if path.startswith("data:") or path.endswith(".woff"):  # woff2 comes first
                continue
            assert f"{name.rsplit('/', 1)[0]}/{path}" in assets, (name, path)


def test_a_template_cannot_ask_for_a_missing_file(site: Site) -> None:
    with pytest.raises(AssetMissing, match=r"nothing\.css"):
        url_of(site, "nothing.css")


def test_scripts_name_no_source_maps() -> None:
    for name, asset in load().items():
        assert b"sourceMappingURL" not in asset.content[-200:] or name.endswith(".css"), name


def test_there_is_a_favicon_where_browsers_look(site: Site) -> None:
    assert site.visitor().get("/favicon.ico").mimetype == "image/svg+xml"
    assert (Path(__file__).parents[2] / "bqngui" / "static" / "favicon.svg").is_file()
