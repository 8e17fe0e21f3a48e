"""The money model in forty lines: a dict of lots and what each hold has of them. Slow, plain, and written apart."""


class Reference:
    """One account. Amounts move between lots, holds and the outside; nothing else exists."""

    def __init__(self) -> None:
        self.lots: dict[str, list[int]] = {}  # id -> [priority, expiry, free]
        self.holds: dict[str, list[list]] = {}  # id -> [[lot, amount], ...]
        self.dead: set[str] = set()  # expired lots
        self.debt = 0

    def order(self) -> list[str]:
        return sorted(self.lots, key=lambda lot: (*self.lots[lot][:2], int(lot.split("_")[1])))

    def free(self) -> int:
        return sum(lot[2] for lot in self.lots.values())

    def draw(self, amount: int, first: str = "") -> tuple[list[list], int]:
        drawn: list[list] = []
        for lot in sorted(self.order(), key=lambda lot: lot != first):
            part = min(self.lots[lot][2], amount)
            if part:
                self.lots[lot][2] -= part
                amount -= part
                drawn.append([lot, part])
        return drawn, amount

    def add(self, lot: str, priority: int, expiry: int, amount: int) -> None:
        self.lots[lot] = [priority, expiry, amount]
        self.repay()

    def repay(self) -> None:
        self.debt = self.draw(self.debt)[1]

    def owe(self, amount: int, first: str = "") -> None:
        self.debt += self.draw(amount, first)[1]

    def hold(self, hold: str, amount: int) -> bool:
        if self.debt or self.free() < amount:
            return False
        self.holds.setdefault(hold, []).extend(self.draw(amount)[0])
        return True

    def end(self, hold: str, charge: int) -> None:
        for lot, amount in self.holds.pop(hold):
            used = min(amount, charge)
            charge -= used
            if lot not in self.dead:
                self.lots[lot][2] += amount - used
        self.owe(charge)
        self.repay()

    def expire(self, lot: str) -> None:
        self.lots[lot][2] = 0
        self.dead.add(lot)

    def held(self) -> int:
        return sum(amount for slices in self.holds.values() for _, amount in slices)
