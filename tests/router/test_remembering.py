"""Plans that are made for one request are not handed to others."""

import asyncio

import msgspec

from tollway.remember import Remembered
from tollway.wire.plan import Plan
from tollway.wire.refusals import Refusal

PROBING = Plan((), "v1", is_cacheable=False)
USUAL = Plan((), "v1")


def remembered(*answers: Plan) -> tuple[Remembered[str, Plan], list[Plan]]:
    left = list(answers)

    async def ask(_key: str) -> Plan | Refusal:
        await asyncio.sleep(0)
        return left.pop(0) if len(left) > 1 else left[0]

    return Remembered(ask, age_max_s=60, is_kept=lambda plan: plan.is_cacheable), left


async def test_of_those_who_ask_at_once_one_gets_the_probing_plan() -> None:
    plans, _ = remembered(PROBING, USUAL)
    got = await asyncio.gather(*(plans.get("q") for _ in range(20)))
    assert sorted(plan.is_cacheable for plan in got) == [False] + [True] * 19


async def test_a_probing_plan_is_not_remembered_and_the_next_one_is() -> None:
    plans, _ = remembered(PROBING, USUAL, msgspec.structs.replace(USUAL, price_version="v2"))
    assert await plans.get("q") == PROBING
    assert plans.peek("q") is None
    assert await plans.get("q") == USUAL
    assert await plans.get("q") == USUAL
