from hypothesis import given
from hypothesis import strategies as st

from configrepo.remembered import Remembered


def test_what_is_kept_comes_back_and_the_longest_unused_goes_first() -> None:
    kept: Remembered[str, int] = Remembered(10)
    kept.keep("a", 1, 4)
    kept.keep("b", 2, 4)
    assert kept.get("a") == 1
    kept.keep("c", 3, 4)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)


def test_what_alone_is_too_heavy_is_handed_back_and_not_kept() -> None:
    kept: Remembered[str, str] = Remembered(10)
    kept.keep("a", "small", 1)
    assert kept.keep("b", "large", 11) == "large"
    assert kept.get("b") is None
    assert kept.get("a") == "small"


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12))))
def test_the_weight_is_that_of_what_is_kept_and_never_above_the_limit(
    puts: list[tuple[int, int]],
) -> None:
    kept: Remembered[int, int] = Remembered(20)
    for key, weight in puts:
        kept.keep(key, weight, weight)
        found = [value for one in range(7) if (value := kept.get(one)) is not None]
        assert kept.weight == sum(found) <= 20
