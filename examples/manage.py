"""Everything a script does with the management API, from a configuration to a revoked key.

    TOLLWAY_URL=http://127.0.0.1:8080 TOLLWAY_API_KEY=twapi-… python examples/manage.py

With `tollway up` and no provider's key the simulator answers, so this runs as it is; set PROVIDER, MODEL and
PROVIDER_KEY for a real one. A script for the reference product's API needs another base URL and key, nothing else.
"""

import os
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx

URL = os.environ.get("TOLLWAY_URL", "http://127.0.0.1:8080")
PROVIDER = os.environ.get("PROVIDER", "simulator")
MODEL = os.environ.get("MODEL", "echo")
PROVIDER_KEY = os.environ.get("PROVIDER_KEY", "sk-simulated-key-0123456789")


def main() -> None:
    """Create, call, read, rotate, revoke."""
    headers = {"Authorization": f"Bearer {os.environ['TOLLWAY_API_KEY']}"}
    with httpx.Client(base_url=f"{URL}/api", headers=headers, timeout=30) as api:
        provider_key = made(api.post("/provider-keys", json=named(providerId=PROVIDER, value=PROVIDER_KEY)))
        print("provider key        ", provider_key["id"], provider_key["keyRedacted"])

        steps = [{"type": "user", "keySelectionStrategy": "ordered", "keys": [{"id": provider_key["id"]}]}]
        configuration = made(
            api.post(
                "/access-key-configurations",
                json=named(
                    access={"providers": {"allow": [PROVIDER]}, "models": {"allow": [f"{PROVIDER}:{MODEL}"]}},
                    router={"rules": [{"provider": PROVIDER, "steps": steps}]},
                ),
            )
        )
        print("configuration       ", configuration["id"])

        access_key = made(api.post("/access-keys", json=named(accessKeyConfigurationId=configuration["id"])))
        print("access key          ", access_key["id"], access_key["keyRedacted"])

        answer = call(access_key["token"], MODEL)
        answer.raise_for_status()
        request_id = answer.headers["tollway-request-id"]
        print("answer              ", answer.json()["choices"][0]["message"]["content"])
        print("outside the scope   ", call(access_key["token"], "slow").status_code, "model_not_allowed")

        attempts = usage_of(api, request_id)
        print("attempts            ", [(it["event"]["keySource"], it["event"]["totalCost"]) for it in attempts])

        rotate = api.post(f"/provider-keys/{provider_key['id']}/rotate", json=named(value=PROVIDER_KEY + "-rotated"))
        print("rotated             ", rotate.json()["id"], rotate.json()["keyRedacted"])
        call(access_key["token"], MODEL).raise_for_status()

        in_use = api.delete(f"/access-key-configurations/{configuration['id']}")
        print("still in use        ", in_use.status_code, in_use.json()["errorCode"])
        api.delete(f"/access-keys/{access_key['id']}").raise_for_status()
        print("revoked after       ", f"{until_refused(access_key['token']):.3f} s")

        api.delete(f"/access-key-configurations/{configuration['id']}").raise_for_status()
        api.delete(f"/provider-keys/{provider_key['id']}").raise_for_status()
        print("balance in cents    ", api.get("/credits/balance").json()["balanceCents"])


def named(**fields: object) -> dict[str, object]:
    """A body with a name that says where it came from."""
    return {"name": "examples/manage.py", **fields}


def made(answer: httpx.Response) -> dict[str, str]:
    """What was created; errors are `{"errorCode", "statusCode", "msg", "details"}`."""
    if answer.status_code != 201:
        sys.exit(answer.text)
    return answer.json()


def call(token: str, model: str) -> httpx.Response:
    """What an application does."""
    body = {"model": f"{PROVIDER}:{model}", "messages": [{"role": "user", "content": "Hello from a script"}]}
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{URL}/v1/chat/completions", json=body, headers=headers, timeout=60)


def usage_of(api: httpx.Client, request_id: str) -> list[dict[str, dict[str, str]]]:
    """The attempts of a request; they are in the books a moment after the answer."""
    start = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    for _ in range(100):
        rows = api.get("/usage", params={"startTime": start}).json()["aiGatewayUsage"]
        if request_id in [row["requestId"] for row in rows]:
            break
        time.sleep(0.1)
    return api.get(f"/usage/requests/{request_id}").raise_for_status().json()["attempts"]


def until_refused(token: str) -> float:
    """How long a revoked key still works."""
    begun = time.monotonic()
    while call(token, MODEL).status_code != 401:
        time.sleep(0.01)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
