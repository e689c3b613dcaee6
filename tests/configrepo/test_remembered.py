from hypothesis import given
from hypothesis import strategies as st

from configrepo.remembered import Remembered


def test_what_is_asked_for_stays_and_what_nobody_wants_goes() -> None:
    kept: Remembered[str, int] = Remembered(8)
    kept.keep("a", 1, 2)
    kept.keep("b", 2, 2)
    for number in range(20):
        assert kept.get("a") == 1
        kept.keep(f"x{number}", number, 2)
    assert kept.get("b") is None


def test_what_alone_is_too_heavy_is_handed_back_and_not_kept() -> None:
    kept: Remembered[str, str] = Remembered(10)
    kept.keep("a", "small", 1)
    assert kept.keep("b", "large", 6) == "large"
    assert kept.get("b") is None
    assert kept.get("a") == "small"


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12), st.booleans())))
def test_what_comes_back_is_what_was_put_in_last_and_never_weighs_more_than_the_limit(
    steps: list[tuple[int, int, bool]],
) -> None:
    kept: Remembered[int, int] = Remembered(20)
    put: dict[int, int] = {}
    for key, weight, asks in steps:
        if asks:
            assert kept.get(key) in (None, put.get(key))
        elif weight <= 10:
            kept.keep(key, weight, weight)
            put[key] = weight
        assert kept.weight <= 20
