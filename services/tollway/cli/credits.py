"""`tollway credits`: balance, transactions, buying; grants and corrections for operators."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import typer

from tollway.cli.errors import CommandError
from tollway.cli.remote import AsJson, Limit, at, remote
from tollway.cli.tables import only_given, print_one, print_rows

app = typer.Typer(no_args_is_help=True)
COLUMNS: Final = {
    "createdAt": "WHEN",
    "type": "TYPE",
    "amount": "DOLLARS",
    "category": "CATEGORY",
    "expiresAt": "EXPIRES",
    "reason": "REASON",
}
Dollars = Annotated[str, typer.Argument(help="Dollars, such as 25 or 25.50.")]
Account = Annotated[str | None, typer.Option(help="For operators: another account's id.")]


@app.command()
def balance(account: Account = None, as_json: AsJson = False) -> None:
    """What there is to spend."""
    with remote() as api:
        found = api.get(f"{at('/accounts', account)}/balance" if account else "/credits/balance")
    cents = found.get("balanceCents", found.get("availableCents", 0))
    print_one(found if as_json else {"balance": f"${cents / 100:,.2f}", **_more(found)}, as_json=as_json)


def _more(found: dict[str, Any]) -> dict[str, str]:
    names = {"heldCents": "held", "debtCents": "debt"}
    return {word: f"${found[name] / 100:,.2f}" for name, word in names.items() if name in found}


@app.command()
def transactions(limit: Limit = 100, as_json: AsJson = False) -> None:
    """Credit that came and usage by day, newest first."""
    with remote() as api:
        print_rows(api.items("/credits/transactions", "items", limit), COLUMNS, as_json=as_json)


@app.command()
def buy(dollars: Dollars, as_json: AsJson = False) -> None:
    """Start buying credit: prints the page on which to pay."""
    with remote() as api:
        print_one(api.post("/credits/checkout-session", {"amount": _cents(dollars)}), as_json=as_json)


@app.command()
def grant(
    account: str,
    dollars: Dollars,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    reference: Annotated[str | None, typer.Option(help="Granted once per reference.")] = None,
    expires: Annotated[str | None, typer.Option(help="RFC 3339 time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Operators: give an account promotional credit."""
    body = {"amount": _cents(dollars), "reason": reason}
    body |= only_given([("reference", reference), ("expiresAt", expires)])
    with remote() as api:
        print_one(api.post(f"{at('/accounts', account)}/credits", body), as_json=as_json)


@app.command()
def adjust(
    account: str,
    dollars: Annotated[str, typer.Argument(help="Positive gives, negative takes (put -- before it).")],
    reason: Annotated[str, typer.Option(help="Why.")],
    ticket: Annotated[str, typer.Option(help="Where it was decided.")],
    reference: Annotated[str | None, typer.Option(help="Booked once per reference.")] = None,
    as_json: AsJson = False,
) -> None:
    """Operators: correct an account's balance."""
    body = {"amount": _cents(dollars), "reason": reason, "ticket": ticket} | only_given([("reference", reference)])
    with remote() as api:
        print_one(api.post(f"{at('/accounts', account)}/adjustments", body), as_json=as_json)


def _cents(dollars: str) -> int:
    try:
        cents = Decimal(dollars.removeprefix("$")) * 100
    except InvalidOperation:
        raise CommandError(f"{dollars!r} is not an amount of dollars.") from None
    if not cents.is_finite() or cents != cents.to_integral_value():
        raise CommandError(f"{dollars!r} is not a whole number of cents.")
    return int(cents)
