"""What the compose file promises without being run."""

from typing import Any

import pytest

FIVE = ("ingress", "auth", "router", "adapter", "ledger")
PUBLISHED = {"ingress", "jaeger", "prometheus", "grafana"}
OUTSIDE = {"ingress", "adapter", "jaeger", "prometheus", "grafana"}
WITH_DATABASE = {"auth", "ledger", "migrate", "account", "cli"}
SECRETS_OF = {"account": "cli"}


def volumes(service: dict[str, Any]) -> list[str]:
    return [volume.partition(":")[0] for volume in service.get("volumes", [])]


def test_only_ingress_and_the_uis_are_published_and_on_loopback(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == PUBLISHED
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_every_image_is_pinned(compose: dict[str, Any]) -> None:
    tags = {name: service["image"].rpartition(":")[2] for name, service in compose["services"].items()}
    assert {name: tag for name, tag in tags.items() if not any(letter.isdigit() for letter in tag)} == {}


@pytest.mark.parametrize("name", [*FIVE, "simulator", "nats", "postgres"])
def test_what_others_wait_for_says_when_it_is_healthy(compose: dict[str, Any], name: str) -> None:
    assert compose["services"][name]["healthcheck"]["test"]


def test_the_five_services_come_from_one_image(compose: dict[str, Any]) -> None:
    assert len({compose["services"][name]["image"] for name in FIVE}) == 1


@pytest.mark.parametrize("name", FIVE)
def test_a_service_has_its_own_secrets_and_no_others(compose: dict[str, Any], name: str) -> None:
    secrets = [volume for volume in volumes(compose["services"][name]) if volume.startswith("secrets-")]
    assert secrets == [f"secrets-{name}"]


@pytest.mark.parametrize("name", FIVE)
def test_a_service_can_change_nothing_but_its_data(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_database_is_told_to_nobody_but_its_users(compose: dict[str, Any]) -> None:
    told = {
        name
        for name, service in compose["services"].items()
        if "TOLLWAY_DATABASE_URL_FILE" in (service.get("environment") or {})
    }
    assert told == WITH_DATABASE


def test_the_operators_provider_keys_reach_the_adapter_alone(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "env_file" in service] == ["adapter"]
    environment = compose["services"]["adapter"]["environment"]
    others = {"POSTGRES_PASSWORD", "TOLLWAY_DATABASE_URL", "TOLLWAY_STRIPE_SECRET_KEY", "TOLLWAY_STRIPE_WEBHOOK_SECRET"}
    assert {name for name in others if environment[name] == ""} == others


def test_only_what_needs_the_outside_is_connected_to_it(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inside"]["internal"] is True
    outside = {name for name, service in compose["services"].items() if "outside" in service.get("networks", [])}
    assert outside == OUTSIDE


def test_every_volume_that_is_used_is_named(compose: dict[str, Any]) -> None:
    used = {volume for service in compose["services"].values() for volume in volumes(service)}
    assert {volume for volume in used if not volume.startswith(".")} == set(compose["volumes"])
