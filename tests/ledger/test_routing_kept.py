"""How a request was routed is kept with its attempts, and changes nothing else."""

import msgspec

from tests.ledger.house import House, fact
from tests.ledger.story import KEY
from tollway.ledger.deciding.facts import encoded_report
from tollway.wire import subjects
from tollway.wire.plan import Skipped
from tollway.wire.queries import GetRequest, RequestUsage
from tollway.wire.usage import UsageFact

ACCOUNT = "acc_house"
SKIPPED = (Skipped("", "models[0]", "", "model_unknown"), Skipped("openai", "o3", "managed:openai", "open:server"))


async def test_a_request_tells_the_strategy_and_what_was_skipped(small_house: House) -> None:
    house = small_house
    await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = await house.opened(ACCOUNT, 10**6)
    routed = msgspec.structs.replace(fact(ACCOUNT, held.hold_id, tokens=100), strategy="cheapest", skipped=SKIPPED)
    await house.put(routed)
    await house.until_settled(held.hold_id)
    request = await house.ask(subjects.LEDGER_QUERY, GetRequest(ACCOUNT, held.hold_id), RequestUsage)
    assert (request.strategy, request.skipped) == ("cheapest", SKIPPED)
    assert request.rows[0].access_key_id == KEY


def test_a_fact_without_it_is_kept_as_it_always_was() -> None:
    plain = fact(ACCOUNT, "rq_01J0000000000000000000000A", tokens=100)
    assert isinstance(plain, UsageFact)
    report, _ = encoded_report(plain)
    assert b"strategy" not in report
    assert b"skipped" not in report
