from pathlib import Path

from configrepo.format_page import page
from configrepo.schema import BLOCKS

PAGE = Path(__file__).parents[2] / "docs" / "configuration-format.md"


def test_the_page_is_made_from_the_schema() -> None:
    assert PAGE.read_text("utf-8") == page(), (
        "run: python -m configrepo.format_page > docs/configuration-format.md"
    )


def test_every_row_is_on_the_page() -> None:
    text = page()
    for row in BLOCKS:
        assert f"`{' '.join(row.opener.literal)}" in text
        for child in row.children:
            assert " ".join(child.pattern.literal) in text
