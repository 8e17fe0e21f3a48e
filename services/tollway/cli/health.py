"""`tollway-health URL`: whether an address answers with 2xx. Small, because containers run it every few seconds."""

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

TIMEOUT_S = 4.0


def is_healthy(url: str) -> bool:
    """One GET without redirects."""
    parts = urlsplit(url)
    link = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=TIMEOUT_S)
    try:
        link.request("GET", parts.path or "/")
        return 200 <= link.getresponse().status < 300
    except (OSError, HTTPException):
        return False
    finally:
        link.close()


def main() -> None:
    """Exit code 0: healthy."""
    sys.exit(0 if is_healthy(sys.argv[1]) else 1)
