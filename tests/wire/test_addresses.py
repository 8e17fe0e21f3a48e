"""The address rule: no notation of a forbidden address gets through, and local models work where allowed."""

import pytest

from tollway.wire.addresses import LOOPBACK_CIDRS, PRIVATE_CIDRS, base_url_problem, is_address_allowed, read_allow_cidrs

LOCAL = (*LOOPBACK_CIDRS, *PRIVATE_CIDRS)

FORBIDDEN = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.2.1", "192.0.0.192", "168.63.129.16", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1",
    "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "fe80::1", "fe80::1%eth0",
    "fd00:ec2::254", "fd00::1", "ff02::1", "2001:db8::1", "not an address", "", "2130706433", "0x7f.1", "127.1",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_no_notation_of_an_inside_address_is_allowed_by_default(address: str) -> None:
    assert not is_address_allowed(address, ())


@pytest.mark.parametrize("address", ["1.1.1.1", "104.18.6.192", "2606:4700::6812:6c0", "::ffff:1.1.1.1"])
def test_outside_addresses_are_allowed(address: str) -> None:
    assert is_address_allowed(address, ())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.7", "::ffff:10.0.0.1", "fd12::1"])
def test_the_operators_ranges_open_the_own_network(address: str) -> None:
    assert is_address_allowed(address, LOCAL)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1", "0.0.0.0", "224.0.0.1"]
)
def test_metadata_and_link_local_addresses_stay_closed_in_any_range(address: str) -> None:
    assert not is_address_allowed(address, ("0.0.0.0/0", "::/0"))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1",
        "https://api.example.com./v1",
        "https://xn--bcher-kva.example/v1",
        "https://[2606:4700::6812:6c0]/v1",
        "https://1.1.1.1:8443",
    ],
)
def test_outside_urls_with_https_are_accepted(url: str) -> None:
    assert base_url_problem(url, ()) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1",
        "http://1.1.1.1/v1",
        "https://127.0.0.1/v1",
        "https://localhost/v1",
        "https://localhost./v1",
        "https://ip6-localhost/v1",
        "https://metadata/v1",
        "https://127。0。0。1/v1",
        "https://①②⑦.0.0.1/v1",
        "https://\u202emoc.example/v1",
        "https://-.example.com/v1",
        "https://a..example.com/v1",
        "https://" + "a" * 64 + ".example.com/v1",
        "https://box.internal/v1",
        "https://2130706433/v1",
        "https://0x7f000001/v1",
        "https://127.1/v1",
        "https://user:secret@example.com/v1",
        "https://example.com/v1?key=1",
        "https://example.com/v1#x",
        "https://example.com:0/v1",
        "https://example.com:99999/v1",
        "https://exa mple.com/v1",
        "https://example.com\\@evil.example/v1",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "",
        "https://[::1]/",
        "https://[fe80::1%25eth0]/",
        "https://example.com/" + "a" * 2_048,
    ],
)
def test_bad_urls_are_refused_without_the_operators_leave(url: str) -> None:
    assert base_url_problem(url, ()) is not None


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "http://ollama:11434/v1", "http://10.0.0.5:8000"])
def test_local_models_are_accepted_where_the_operator_allows_them(url: str) -> None:
    assert base_url_problem(url, LOCAL) is None


def test_plain_http_to_an_outside_address_is_refused_even_with_local_ranges() -> None:
    assert "https" in (base_url_problem("http://1.1.1.1/v1", LOCAL) or "")


def test_the_operators_variable_takes_ranges_and_names() -> None:
    assert read_allow_cidrs(" loopback, 10.1.0.0/16 ,") == (*LOOPBACK_CIDRS, "10.1.0.0/16")
    assert read_allow_cidrs("") == ()


def test_a_range_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="everything"):
        read_allow_cidrs("loopback,everything")
