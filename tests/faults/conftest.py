"""The option for the full sizes: `pytest tests/faults --full`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run ask for all of it; without the option a selection runs."""
    parser.addoption("--full", action="store_true", help="the fault suites in their full sizes")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether everything shall run. Known only if this folder was named on the command line."""
    return bool(pytestconfig.getoption("full", default=False))
