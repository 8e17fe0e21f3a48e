"""Which addresses a custom provider may live at: the rule against server-side request forgery, without any IO.

The adapter resolves a host once, asks this about every address found, and connects to the address it asked about; auth
asks it about addresses written literally into a base URL. Outside addresses are always allowed, addresses of our own
neighbourhood only inside the operator's `allow_cidrs` (for Ollama, vLLM and the like).
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

LOOPBACK_CIDRS: Final = ("127.0.0.0/8", "::1/128")
PRIVATE_CIDRS: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
"""What operators usually mean by their own network; link-local and metadata addresses are never part of it."""

BASE_URL_CHARS_MAX: Final = 2_048

_NEVER: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",  # link local, and every cloud's metadata service
            "100.100.100.200/32",  # Alibaba's metadata service
            "192.0.0.192/32",  # Oracle's metadata service
            "168.63.129.16/32",  # Azure's wire server, a global address
            "224.0.0.0/4",
            "255.255.255.255/32",
            "::/128",
            "fe80::/10",
            "fd00:ec2::254/128",  # Amazon's metadata service
            "fd20:ce::254/128",  # Google's metadata service
            "ff00::/8",
        ),
    )
)
"""Refused even inside an allowed range: no model lives there, credentials do."""

_CARRIERS: Final = tuple(map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))
"""IPv6 ranges that carry an IPv4 address which a translator would connect to."""

_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*", re.I
)
"""A host as it is resolved. Others would be turned into such a name after they were judged (`127。0。0。1`)."""
_INSIDE: Final = (".localhost", ".localdomain", ".local", ".internal")
"""Names of the own network; so is every name without a dot."""

_NAMED_RANGES: Final = {"loopback": LOOPBACK_CIDRS, "private": PRIVATE_CIDRS}


def read_allow_cidrs(text: str) -> tuple[str, ...]:
    """The operator's ranges from `TOLLWAY_ALLOW_PRIVATE_CIDRS`: a comma-separated list of CIDR ranges and of the words
    `loopback` and `private`. Raises ValueError, which names the entry that is neither."""
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    return tuple(cidr for entry in entries for cidr in _NAMED_RANGES.get(entry.lower()) or (_cidr(entry),))


def _cidr(entry: str) -> str:
    try:
        return str(ip_network(entry, strict=False))
    except ValueError:
        raise ValueError(f"{entry!r} is not a CIDR range, 'loopback' or 'private'") from None


def is_address_allowed(address: str, allow_cidrs: Sequence[str]) -> bool:
    """Whether one resolved address may be connected to. Anything that does not read as an address is not allowed.

    IPv4 addresses in IPv6 clothes are judged as IPv4; ranges that carry one (NAT64, 6to4, Teredo) are not allowed.
    """
    try:
        ip = _undressed(ip_address(address))
    except ValueError:
        return False
    if _is_within(ip, _NEVER) or (isinstance(ip, IPv6Address) and _is_carrier(ip)):
        return False
    return _is_outside(ip) or _is_within(ip, [ip_network(cidr) for cidr in read_allow_cidrs(",".join(allow_cidrs))])


def _undressed(ip: IpAddress) -> IpAddress:
    if isinstance(ip, IPv6Address):
        return ip.ipv4_mapped or (ip if ip.scope_id is None else IPv6Address(int(ip)))
    return ip


def _is_carrier(ip: IPv6Address) -> bool:
    return _is_within(ip, _CARRIERS) and not ip.is_loopback


def _is_outside(ip: IpAddress) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _is_within(ip: IpAddress, networks: Sequence[IpNetwork]) -> bool:
    return any(ip in network for network in networks)


def base_url_problem(base_url: str, allow_cidrs: Sequence[str]) -> str | None:
    """Why a custom provider's base URL is not acceptable as written, or None.

    Needs `https`, unless the host is a literal address inside `allow_cidrs`, or any ranges are allowed and the name is
    to be judged when it is resolved. No credentials, query or fragment in it. What a name resolves to is the adapter's
    question: it changes.
    """
    if len(base_url) > BASE_URL_CHARS_MAX:
        return f"is longer than {BASE_URL_CHARS_MAX} characters"
    if any(ord(char) <= 0x20 or ord(char) == 0x7F or char == "\\" for char in base_url):
        return "contains blanks, control characters or backslashes"
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host:
        return "must start with https:// (or http:// for an address the operator allows) and name a host"
    if parts.username is not None or parts.password is not None:
        return "must not carry credentials; add a provider key instead"
    if parts.query or parts.fragment:
        return "must not carry a query or a fragment"
    if port == 0:
        return "has port 0"
    return _host_problem(host, is_tls=parts.scheme == "https", allow_cidrs=allow_cidrs)


def _host_problem(host: str, *, is_tls: bool, allow_cidrs: Sequence[str]) -> str | None:
    try:
        literal = str(ip_address(host))
    except ValueError:
        return _name_problem(host, is_tls=is_tls, is_any_allowed=bool(allow_cidrs))
    if not is_address_allowed(literal, allow_cidrs):
        return f"points at {literal}, which the operator does not allow"
    if not is_tls and is_address_allowed(literal, ()):
        return "must use https: the address is outside the operator's own network"
    return None


def _name_problem(host: str, *, is_tls: bool, is_any_allowed: bool) -> str | None:
    host = host.removesuffix(".")
    if not _NAME.fullmatch(host):
        return (
            "names a host with other characters than letters, digits and hyphens (write an international name as xn--…)"
        )
    last = host.rsplit(".", 1)[-1]
    if last.isdigit() or last.lower().startswith("0x"):
        return "names a host that looks like an address written in an unusual way"
    if not is_tls and not is_any_allowed:
        return "must use https: the operator allows no addresses of the own network"
    if not is_any_allowed and ("." not in host or host.endswith(_INSIDE)):
        return f"points at {host}, which the operator does not allow"
    return None
