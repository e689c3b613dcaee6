"""What tests of pages share: sites over a desk in memory, and a browser to visit them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import LAUNCH
from tests.support.fake_desk import FakeDesk
from tests.support.site import Site

OpenSite = Callable[..., Site]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Debian's Chromium; nothing is downloaded."""
    return dict(LAUNCH)


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[OpenSite]:
    """Makes the GUI over a desk; closed after the test."""
    opened: list[Site] = []

    def make(desk: FakeDesk | None = None, **settings: Any) -> Site:
        folder = tmp_path / f"state-{len(opened)}"
        folder.mkdir()
        site = Site(desk or FakeDesk.cluster_of_three(), folder, **settings)
        opened.append(site)
        return site

    yield make
    for site in opened:
        site.close()


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    """The GUI of BQN 0 in a healthy cluster of three."""
    return open_site()
