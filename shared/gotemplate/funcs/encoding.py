"""Sprig's encodings, checksums and derived passwords.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: makes a key or a salt; the same input gives the same
text.
Source of the rules: Sprig v3, "Encoding Functions", "Cryptographic and Security Functions"; Go packages
encoding/base64 and encoding/base32 (whose complaint about bad input is the result, as in Sprig).
"""

import base64
import hashlib
import hmac
import zlib

from shared.gotemplate.funcs.registry import function, group
from shared.gotemplate.literals import from_bytes, to_bytes
from shared.gotemplate.values import UInt32

_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_BASE32 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
_PAD = ord("=")


def b64enc(text: str) -> str:
    """The text in base 64."""
    return base64.b64encode(to_bytes(text)).decode()


def b32enc(text: str) -> str:
    """The text in base 32."""
    return base64.b32encode(to_bytes(text)).decode()


def b64dec(text: str) -> str:
    """The text of a base 64 text, or a complaint."""
    data = to_bytes(text)
    bad = _bad_place(data)
    if bad is not None:
        return f"illegal base64 data at input byte {bad}"
    return from_bytes(base64.b64decode(data.translate(None, b"\r\n")))


def b32dec(text: str) -> str:
    """The text of a base 32 text, or a complaint."""
    data = to_bytes(text).translate(None, b"\r\n")
    length = _base32_length(data)
    if length < 0:
        return f"illegal base32 data at input byte {-length - 1}"
    return from_bytes(base64.b32decode(data[:length].ljust(-(-length // 8) * 8, b"=")))


def _base32_length(data: bytes) -> int:
    """How many bytes stand before the padding, or -1 minus the place of the first illegal byte."""
    for place, byte in enumerate(data):
        held, behind = place % 8, len(data) - place - 1
        if byte == _PAD and held >= 2 and behind < 8:
            if behind + held < 7:
                return -len(data) - 1
            wrong = next((k for k in range(7 - held) if k < behind and data[place + 1 + k] != _PAD), None)
            if wrong is not None:
                return -(place + wrong) - 1
            return -place - 1 if held in (3, 6) else place
        if byte not in _BASE32:
            return -place - 1
    return -(len(data) - len(data) % 8) - 1 if len(data) % 8 else len(data)


def _bad_place(data: bytes) -> int | None:
    """Where the first byte is that base 64 cannot have."""
    held = 0
    for place, byte in enumerate(data):
        if byte in b"\r\n":
            continue
        if byte in _BASE64:
            held = (held + 1) % 4
            continue
        if byte == _PAD and held >= 2:
            return _bad_padding(data, place, 4 - held)
        return place
    return len(data) - held if held else None


def _bad_padding(data: bytes, start: int, missing: int) -> int | None:
    for place in range(start, len(data)):
        if data[place] in b"\r\n":
            continue
        if data[place] != _PAD or not missing:
            return place - 1 if missing else place
        missing -= 1
    return len(data) if missing else None


def sha1sum(text: str) -> str:
    """SHA-1 in hexadecimal digits."""
    return hashlib.sha1(to_bytes(text), usedforsecurity=False).hexdigest()


def sha256sum(text: str) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(to_bytes(text)).hexdigest()


def sha512sum(text: str) -> str:
    """SHA-512 in hexadecimal digits."""
    return hashlib.sha512(to_bytes(text)).hexdigest()


def adler32sum(text: str) -> str:
    """Adler-32 as a decimal number."""
    return str(zlib.adler32(to_bytes(text)))


_SEED = b"com.lyndir.masterpassword"
_SHAPES = {
    "maximum": "anoxxxxxxxxxxxxxxxxx axxxxxxxxxxxxxxxxxno",
    "long": "CvcvnoCvcvCvcv CvcvCvcvnoCvcv CvcvCvcvCvcvno CvccnoCvcvCvcv CvccCvcvnoCvcv CvccCvcvCvcvno CvcvnoCvccCvcv"
    " CvcvCvccnoCvcv CvcvCvccCvcvno CvcvnoCvcvCvcc CvcvCvcvnoCvcc CvcvCvcvCvccno CvccnoCvccCvcv CvccCvccnoCvcv"
    " CvccCvccCvcvno CvcvnoCvccCvcc CvcvCvccnoCvcc CvcvCvccCvccno CvccnoCvcvCvcc CvccCvcvnoCvcc CvccCvcvCvccno",
    "medium": "CvcnoCvc CvcCvcno",
    "short": "Cvcn",
    "basic": "aaanaaan aannaaan aaannaaa",
    "pin": "nnnn",
}
_CHARACTERS = {
    "V": "AEIOU",
    "C": "BCDFGHJKLMNPQRSTVWXYZ",
    "v": "aeiou",
    "c": "bcdfghjklmnpqrstvwxyz",
    "A": "AEIOUBCDFGHJKLMNPQRSTVWXYZ",
    "a": "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
    "n": "0123456789",
    "o": "@&%?,=[]_:-+*$#!'^~;()/.",
    "x": "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
}
_DERIVE_WORK = 4 << 20
_SCRYPT_MEMORY = 128 << 20


def derive_password(counter: UInt32, kind: str, password: str, user: str, site: str) -> str:
    """A password by the Master Password algorithm (kinds: maximum, long, medium, short, basic, pin)."""
    if kind not in _SHAPES:
        return f"cannot find password template {kind}"
    name, place = to_bytes(user), to_bytes(site)
    salt = _SEED + len(name).to_bytes(4, "big") + name
    key = hashlib.scrypt(to_bytes(password), salt=salt, n=32768, r=8, p=2, maxmem=_SCRYPT_MEMORY, dklen=64)
    message = _SEED + len(place).to_bytes(4, "big") + place + int(counter).to_bytes(4, "big")
    seed = hmac.new(key, message, "sha256").digest()
    shapes = _SHAPES[kind].split()
    shape = shapes[seed[0] % len(shapes)]
    return "".join(
        [_CHARACTERS[mark][byte % len(_CHARACTERS[mark])] for mark, byte in zip(shape, seed[1:], strict=False)]
    )


FUNCTIONS = {
    **group(
        {
            "b64enc": b64enc,
            "b64dec": b64dec,
            "b32enc": b32enc,
            "b32dec": b32dec,
            "sha1sum": sha1sum,
            "sha256sum": sha256sum,
            "sha512sum": sha512sum,
            "adler32sum": adler32sum,
        }
    ),
    "derivePassword": function("derivePassword", derive_password, work=_DERIVE_WORK),
}
