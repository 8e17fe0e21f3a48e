"""Every subject of the bus, here and nowhere else. From a subject to its code: this file, then the `HANDLERS` table
at the end of the owning service's `handlers.py`.

    subject                       from → to            body (wire module)
    auth.check                    ingress → auth       CheckAccessKey → Principal            (access)
    auth.check_api                ingress → auth       CheckApiKey → ApiPrincipal            (access)
    auth.sealed                   adapter → auth       FetchSealed → SealedCredential        (access)
    auth.manage                   ingress → auth       commands of management                (management)
    config.<account>              auth → all           ConfigChanged, stream CONFIG          (access)
    route.plan                    ingress → router     PlanRoute → Plan                      (plan)
    route.models                  ingress → router     ListModels → ModelList                (plan)
    route.explain                 ingress → router     PlanRoute → Plan with reasons         (plan)
    route.health                  ingress → router     AskHealth → HealthReport              (plan)
    hold.j.<nn>                   ingress → ledger     OpenHold → HoldOpened                 (credit)
                                  ingress → ledger     OpenHolds → HoldsOpened               (credit)
                                  ingress → ledger     AwaitHolds → HoldsAwaited             (credit)
                                  adapter → ledger     ExtendHold → HoldExtended             (credit)
    credit.j.<nn>                 ingress → ledger     GrantCredit, ReverseCredit, …         (credit)
    ledger.query                  ingress → ledger     reads of balance and usage            (queries)
    dispatch.<pool>               ingress → adapter    Work                                  (work)
    probe.<pool>                  ingress → adapter    ProbeProvider → Probed                (probe)
    body.<node>                   adapter → ingress    FetchBody → BodyPart                  (work)
    in.<node>.<token>             adapter → ingress    Piece                                 (work)
    flow.<node>                   ingress → adapter    Credit, Cancel                        (work)
    usage.j.<nn>                  adapter → ledger     UsageFacts, stream USAGE              (usage)
    witness.j.<nn>                ingress → ledger     Witness, stream USAGE                 (usage)
    settled.<outbox>              ledger → adapter     Settled: forget these facts           (usage)
    ledger.j.<nn>                 ledger → all         stored blocks, stream LEDGER
    beat.<role>.<node>            all → all            Beat, every second                    (work)
    ask.offer                     router → adapters    AskOffer → Beat                       (work)
    health.seen                   adapter → router     HealthSeen                            (plan)
    health.changed                router → all         HealthChanged                         (plan)
    trace.keep                    ingress → all        KeepTrace                             (work)
"""

from typing import Final

JOURNALS: Final = 64
JOURNAL_GROUPS: Final = 8

AUTH_CHECK: Final = "auth.check"
AUTH_CHECK_API: Final = "auth.check_api"
AUTH_SEALED: Final = "auth.sealed"
AUTH_MANAGE: Final = "auth.manage"
ROUTE_PLAN: Final = "route.plan"
ROUTE_MODELS: Final = "route.models"
ROUTE_EXPLAIN: Final = "route.explain"
ROUTE_HEALTH: Final = "route.health"
LEDGER_QUERY: Final = "ledger.query"
HEALTH_SEEN: Final = "health.seen"
HEALTH_CHANGED: Final = "health.changed"
TRACE_KEEP: Final = "trace.keep"
ASK_OFFER: Final = "ask.offer"

CONFIG_ALL: Final = "config.>"
HOLD_ALL: Final = "hold.j.*"
CREDIT_ALL: Final = "credit.j.*"
USAGE_ALL: Final = "usage.j.*"
WITNESS_ALL: Final = "witness.j.*"
LEDGER_BLOCKS_ALL: Final = "ledger.j.*"
BEATS_ALL: Final = "beat.>"

STREAMS: Final[dict[str, tuple[str, ...]]] = {
    "CONFIG": (CONFIG_ALL,),
    "USAGE": (USAGE_ALL, WITNESS_ALL),
    "LEDGER": (LEDGER_BLOCKS_ALL,),
}


def journal_of(account_id: str) -> int:
    """The account's journal, 0 to 63: FNV-1a (32 bit) of the id modulo 64, fixed for ever."""
    digest = 0x811C9DC5
    for byte in account_id.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest % JOURNALS


def group_of(journal: int) -> int:
    """The group of a journal, 0 to 7: journals of one group belong to one ledger process at a time."""
    return journal % JOURNAL_GROUPS


def journals_of(group: int) -> range:
    """The journals of a group."""
    return range(group, JOURNALS, JOURNAL_GROUPS)


def hold(journal: int) -> str:
    """Where holds of a journal are asked for."""
    return f"hold.j.{journal:02d}"


def credit(journal: int) -> str:
    """Where money comes in or is taken back."""
    return f"credit.j.{journal:02d}"


def usage(journal: int) -> str:
    """Where adapters put facts of this journal, with which those of others of its group may travel."""
    return f"usage.j.{journal:02d}"


def witness(journal: int) -> str:
    """Where ingress says what the client got."""
    return f"witness.j.{journal:02d}"


def ledger_block(journal: int) -> str:
    """Where the ledger publishes stored blocks."""
    return f"ledger.j.{journal:02d}"


def config(account_id: str) -> str:
    """Where changes of one account's configuration are told."""
    return f"config.{account_id}"


def dispatch(pool: str) -> str:
    """Where a pool of adapters takes work, as one queue group."""
    return f"dispatch.{pool}"


def probe(pool: str) -> str:
    """Where a pool of adapters tries a provider out, as one queue group."""
    return f"probe.{pool}"


def inbox(node: str, token: str) -> str:
    """Where one request of one ingress node receives its pieces."""
    return f"in.{node}.{token}"


def body(node: str) -> str:
    """Where an ingress node hands out bodies too large to travel inline."""
    return f"body.{node}"


def flow(node: str) -> str:
    """Where one adapter node hears of credit windows and cancellations."""
    return f"flow.{node}"


def settled(outbox: str) -> str:
    """Where an outbox hears which of its facts are settled."""
    return f"settled.{outbox}"


def beat(role: str, node: str) -> str:
    """The heartbeat of one process."""
    return f"beat.{role}.{node}"
