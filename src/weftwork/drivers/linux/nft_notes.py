"""A text hidden in an nftables comment, so that we read back what we wrote and not how the kernel prints it.

nft takes 128 characters: a rule is deflated against words that rules are made of, then written in base 85.
"""

import base64
import binascii
import zlib

_MARK = "w1:"
_CHARACTERS_MAX = 128
_WORDS = (
    b"limit rate over 10/second burst icmp type echo-request th dport udp sport 68 udp dport 67 "
    b"ether type { arp, ip, ip6, vlan, 8021q } arp operation request arp saddr ether arp saddr ip 0.0.0.0 "
    b"255.255.255.255 ip6 saddr daddr masquerade snat to dnat ip to fib daddr type local "
    b'oifname "ext0" iifname "br" iifname . ether saddr . ip saddr type nat hook '
    b"type filter hook prerouting input output postrouting forward priority filter raw mangle dstnat srcnat "
    b"policy accept; policy drop; ct state { established, related, invalid, new } ct status dnat meta l4proto "
    b"ct mark set ct mark @epoch meta protocol ip ct original ip daddr ct original protocol tcp "
    b"ct original protocol udp ct original protocol icmp ct reply proto-src 0-65535 80, 443, 8080 "
    b"ct reply ip saddr @members. ct original ip saddr @cidrs. vmap @ingress vmap @egress "
    b'counter name " counter accept counter drop jump out. jump in. goto from_outside goto to_outside '
    b"goto destination goto source goto stamp "
)


class TooLongError(ValueError):
    """The text does not fit into a comment."""


def encode(text: str) -> str:
    """The comment for this text. Raises TooLongError (about 200 characters of an ordinary rule fit)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _WORDS)
    packed = deflate.compress(text.encode()) + deflate.flush()
    comment = _MARK + base64.b85encode(packed).decode()
    if len(comment) > _CHARACTERS_MAX:
        raise TooLongError(f"needs {len(comment)} of {_CHARACTERS_MAX} characters as a comment: {text}")
    return comment


def decode(comment: str) -> str | None:
    """The text, or None when the comment is not one of ours."""
    if not comment.startswith(_MARK):
        return None
    try:
        inflate = zlib.decompressobj(-15, _WORDS)
        return inflate.decompress(base64.b85decode(comment[len(_MARK) :])).decode()
    except (ValueError, zlib.error, binascii.Error, UnicodeDecodeError):
        return None
