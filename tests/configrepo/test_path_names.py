import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.path_names import escape, unescape


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("peak-time", "peak-time"),
        (".git", "%2Egit"),
        ("-rf", "%2Drf"),
        ("a/b", "a%2Fb"),
        ("..", "%2E%2E"),
        ("x.", "x%2E"),
        ("con", "%63on"),
        ("NUL.txt", "%4EUL.txt"),
        ("git~1", "git%7E1"),
        ("ü", "%C3%BC"),
        ("100%", "100%25"),
    ],
)
def test_names_become_harmless_path_parts(name: str, component: str) -> None:
    assert escape(name) == component
    assert unescape(component) == name


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5))
def test_escaping_is_injective_and_harmless(name: str) -> None:
    component = escape(name)
    assert unescape(component) == name
    assert component[0] not in ".-"
    assert component[-1] != "."
    assert not component.lower().startswith(".git")


@pytest.mark.parametrize(
    "component", ["", "%zz", "%61", "%2e", ".git", "a b", "con", "x" * 65, "%FF"]
)
def test_what_was_never_written_is_not_read(component: str) -> None:
    assert unescape(component) is None
