"""What the README tells a newcomer to type does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway import Gateway, until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
WRITTEN = "http://127.0.0.1:8080"
REQUEST = re.compile(r"rq_[0-9A-Z]{26}")


def shown(language: str, begin: str) -> str:
    """The block of the README that begins like this."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return next(block for name, block in blocks if name == language and block.startswith(begin))


def typed(gateway: Gateway, command: str) -> str:
    """What the command prints in a shell where `tollway` is at hand."""
    keys = {"KEY": gateway.credentials["accessKey"], "API_KEY": gateway.credentials["apiKey"]}
    environment = {
        **keys,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "TOLLWAY_DATA_DIR": str(gateway.data),
    }
    said = subprocess.run(
        ["bash", "-euc", command.replace(WRITTEN, gateway.base_url)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return said.stdout.replace("\r", "")


def test_the_first_requests_of_the_readme_answer_as_it_shows(gateway: Gateway) -> None:
    answer = typed(gateway, shown("sh", "curl -i"))
    promised = [re.sub(r"\s*←.*", "", line) for line in shown("", "HTTP/1.1").splitlines()[:5]]
    assert {REQUEST.sub("", line) for line in promised} <= {REQUEST.sub("", line) for line in answer.splitlines()}
    request_id = REQUEST.findall(answer)[0]
    explained = _patiently(gateway, f"tollway usage explain {request_id}")
    assert untimed(explained) == untimed(REQUEST.sub(request_id, shown("", "rq_")))
    assert "balanceCents" in typed(gateway, REQUEST.sub(request_id, shown("sh", "curl -H")))


def untimed(text: str) -> str:
    return re.sub(r"\d+ ms", "… ms", text)


def _patiently(gateway: Gateway, command: str) -> str:
    """Rows are shown a moment after the answer."""
    found: list[str] = []

    def is_there() -> bool:
        try:
            found.append(typed(gateway, command))
        except subprocess.CalledProcessError:
            return False
        return True

    until(is_there)
    return found[-1]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_link_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, target


def test_every_command_that_is_written_down_exists() -> None:
    from typer.main import get_command

    from tollway.cli.__main__ import _mount, app

    _mount(["--help"])
    root = get_command(app)
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for words in re.findall(r"(?:^|[`$ ])tollway ((?:[a-z][a-z-]+ ?){1,2})", page.read_text(), re.MULTILINE):
            first, *more = words.split()
            commands = getattr(root, "commands", {})
            assert first in commands, f"{page.name}: tollway {words}"
            group = getattr(commands[first], "commands", None)
            assert group is None or not more or more[0] in group, f"{page.name}: tollway {words}"
