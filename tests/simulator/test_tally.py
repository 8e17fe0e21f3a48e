"""The simulator's books."""

from tollway.simulator.tally import NAMES_MAX, OTHER, Entry, Tally


def entry(seq: int, model: str = "echo") -> Entry:
    return Entry(
        seq=seq,
        id=str(seq),
        at_ms=0,
        path="/",
        model=model,
        behaviour=model,
        credential="1234",
        stream=False,
        outcome="completed",
        tokens_input=1,
        tokens_output=2,
    )


def test_totals_stay_exact_when_entries_leave_the_ring() -> None:
    tally = Tally(kept_max=10)
    for seq in range(100):
        tally.add(entry(seq))
    assert [one.seq for one in tally.entries()] == list(range(90, 100))
    assert (tally.totals().requests, tally.totals().tokens_output) == (100, 200)
    assert tally.totals().outcomes == {"completed": 100}


def test_entries_are_found_by_model_place_and_number() -> None:
    tally = Tally()
    for seq, model in enumerate(["echo", "slow", "echo", "echo"], start=1):
        tally.add(entry(seq, model))
    assert [one.seq for one in tally.entries("echo")] == [1, 3, 4]
    assert [one.seq for one in tally.entries("echo", after_seq=1, limit=1)] == [4]
    assert tally.totals("slow").requests == 1
    assert tally.totals("no such model").requests == 0


def test_a_reset_forgets_everything() -> None:
    tally = Tally()
    tally.add(entry(1))
    tally.reset()
    assert (tally.entries(), len(tally)) == ([], 0)


def test_invented_names_do_not_fill_the_memory() -> None:
    tally = Tally()
    for seq in range(NAMES_MAX + 5):
        tally.add(entry(seq, f"model-{seq}"))
    assert len(list(tally.models())) == NAMES_MAX + 1
    assert tally.totals(OTHER).requests == 5
