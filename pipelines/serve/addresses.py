"""Which network addresses the sources that clients name may connect to."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from memvit.types import MemvitError, SourceError
from memvit.video.sources.location import is_url, redact

Network: TypeAlias = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


METADATA_SERVICES = _networks("fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32")
"""Services of clouds outside the link-local networks; they may give credentials of the machine to whoever asks."""
LINK_LOCAL = _networks("169.254.0.0/16", "fe80::/10")
"""169.254.169.254, the metadata service of most clouds, is one of them."""
DEFAULT_DENIED = LINK_LOCAL + METADATA_SERVICES
NAMED_NETWORKS = {
    "loopback": _networks("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128"),
    "private": _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
}
"""What `--deny-address` and `--allow-address` take instead of a network. A connection to 0.0.0.0 is one to loopback."""
_NAT64 = ip_network("64:ff9b::/96")


class AddressDenied(SourceError):
    """A source leads to an address that the server does not connect to."""

    def __init__(self, shown: str, address: object) -> None:
        super().__init__(
            f"{shown}: it leads to {address}, an address that this server does not connect to for clients; "
            "see --allow-address",
            "access",
        )


@dataclass(frozen=True)
class AddressRules:
    """A source may connect to every address that is not denied, and to those of `allowed` in any case."""

    denied: tuple[Network, ...] = DEFAULT_DENIED
    allowed: tuple[Network, ...] = ()

    def is_denied(self, address: str) -> bool:
        """Whether the server does not connect to an IP address, in whatever notation IPv6 hides an IPv4 address."""
        found = _plain_address(address)
        if any(found in network for network in self.allowed):
            return False
        return any(found in network for network in self.denied)

    def check_literal(self, location: str) -> None:
        """AddressDenied if the host of a URL is an IP address, in any notation, that is denied. Asks no name server."""
        host = host_of(location)
        if not host:
            return
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):  # a name
            return
        self._check(location, found)

    def check(self, location: str) -> None:
        """AddressDenied if the host of a URL has a denied address; other errors are left to whoever opens the URL."""
        host = host_of(location)
        if host:
            try:
                self.resolve(host, None, redact(location))
            except (OSError, UnicodeError):
                return

    def resolve(self, host: str, port: int | None, shown: str) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
        """The addresses of a host, to connect to. AddressDenied if one is denied, OSError if there are none."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._check(shown, found)
        return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]

    def _check(self, location: str, found: Iterable[tuple[object, object, object, object, tuple[object, ...]]]) -> None:
        for *_, address in found:
            if self.is_denied(str(address[0])):
                raise AddressDenied(redact(location), address[0])


def address_rules(denied: Iterable[str], allowed: Iterable[str]) -> AddressRules:
    """Rules from the command line: networks, addresses, `loopback` or `private`, added to the default."""
    return AddressRules(DEFAULT_DENIED + _parse("--deny-address", denied), _parse("--allow-address", allowed))


def host_of(location: str) -> str:
    """The host of a URL as FFmpeg reads it, without the brackets of an IPv6 address; empty for paths."""
    if not is_url(location):
        return ""
    authority = re.split(r"[/?#]", location.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    return authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]


def _plain_address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text.partition("%")[0])  # without the interface of a link-local address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        if address.sixtofour is not None:
            return address.sixtofour
    return address


def _parse(option: str, texts: Iterable[str]) -> tuple[Network, ...]:
    networks: list[Network] = []
    for text in texts:
        if text in NAMED_NETWORKS:
            networks += NAMED_NETWORKS[text]
            continue
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            names = ", ".join(NAMED_NETWORKS)
            raise MemvitError(f"{option} {text}: name an address, a network such as 10.0.0.0/8, or {names}") from None
    return tuple(networks)
