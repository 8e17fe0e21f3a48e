"""The price list and the table of behaviours say the same."""

from tollway.simulator import BEHAVIOURS, models


def test_every_behaviour_has_a_price() -> None:
    assert [row["id"] for row in models()["models"]] == list(BEHAVIOURS)


def test_prices_are_whole_nano_dollars_per_million_tokens() -> None:
    prices = {row["id"]: row["prices"] for row in models()["models"]}
    assert prices["echo"] == {
        "input": 1_000_000_000,
        "output": 2_000_000_000,
        "cache_read": 100_000_000,
        "cache_write": 1_250_000_000,
    }
    assert prices["embed"]["output"] == 0
    assert all(isinstance(price, int) for row in prices.values() for price in row.values())
