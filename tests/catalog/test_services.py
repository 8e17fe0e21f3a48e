"""Prices of services, as the list has them among its modes."""

import json
from pathlib import Path

from tests.catalog.test_catalog import catalog_of, price_of
from tollway.wire.plan import ServicePrice

CHEAP = {
    "openai": {
        "models": {
            "gpt-5.4": {
                "experimental": {
                    "modes": {
                        "flex": {
                            "cost": {"input": 1.25, "output": 7.5},
                            "provider": {"body": {"service_tier": "flex"}},
                        },
                        "free": {"provider": {"body": {"service_tier": "free"}}},
                        "beta": {"cost": {"input": 0, "output": 0}, "provider": {"headers": {"x-beta": "1"}}},
                    }
                }
            }
        }
    }
}


def test_modes_that_are_asked_for_in_the_body_are_services_with_a_price() -> None:
    catalog = catalog_of()
    priority = ServicePrice("priority", 5_000_000_000, 30_000_000_000, cache_read=500_000_000)
    fast = ServicePrice("fast", 30_000_000_000, 150_000_000_000, cache_read=3_000_000_000, cache_write=37_500_000_000)
    openai, anthropic = price_of(catalog, "openai", "gpt-5.4"), price_of(catalog, "anthropic", "claude-opus-4-6")
    assert openai is not None
    assert anthropic is not None
    assert (openai.services, anthropic.services) == ((priority,), (fast,))


def test_an_operator_may_price_a_service_and_a_mode_without_price_or_field_is_none(tmp_path: Path) -> None:
    overrides = tmp_path / "catalog.json"
    overrides.write_text(json.dumps(CHEAP))
    price = price_of(catalog_of({"TOLLWAY_CATALOG_FILE": str(overrides)}), "openai", "gpt-5.4")
    assert price is not None
    assert price.services == (ServicePrice("flex", 1_250_000_000, 7_500_000_000),)
