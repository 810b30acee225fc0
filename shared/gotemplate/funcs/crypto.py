"""Sprig's AES functions, and the check of a certificate that comes with the row.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: makes a key; an initialization vector comes from the
`Sources` of the rendering.
Source of the rules: Sprig v3, "Cryptographic and Security Functions": AES-256 in CBC mode with PKCS #7 padding, the key
being the password's first 32 bytes, filled up by zeros.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.chance import random_bytes
from shared.gotemplate.funcs.registry import function, group
from shared.gotemplate.literals import from_bytes, to_bytes
from shared.gotemplate.state import State
from shared.gotemplate.values import Struct

_BLOCK = 16
_MAX_PEM_BYTES = 65_536
_PARSING_WORK = 1 << 17


def _key(password: str) -> bytes:
    return to_bytes(password)[:32].ljust(32, b"\0")


def encrypt_aes(state: State, password: str, text: str) -> str:
    """The text encrypted by AES-256-CBC with a random vector, in base 64."""
    from shared.gotemplate.funcs import ciphers  # noqa: PLC0415  # see its docstring

    if not text:
        return ""
    data, vector = to_bytes(text), random_bytes(state, _BLOCK)
    padding = _BLOCK - len(data) % _BLOCK
    made = ciphers.encrypted(_key(password), vector, data + bytes([padding]) * padding)
    return base64.b64encode(vector + made).decode()


def decrypt_aes(password: str, text: str) -> str:
    """The text that encryptAES has encrypted with the same password."""
    from shared.gotemplate.funcs import ciphers  # noqa: PLC0415  # see its docstring

    if not text:
        return ""
    data = _decoded(text, "text")
    if len(data) < 2 * _BLOCK or len(data) % _BLOCK:
        raise Fault("the text is no whole number of AES blocks")
    made = ciphers.decrypted(_key(password), data[:_BLOCK], data[_BLOCK:])
    if made[-1] > len(made):
        raise Fault("the text was not encrypted with this password")
    return from_bytes(made[: len(made) - made[-1]])


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(to_bytes(text).translate(None, b"\r\n"), validate=True)
    except binascii.Error:
        raise Fault(f"the {what} is no base 64") from None


@dataclass(frozen=True, slots=True)
class Certificate(Struct):
    """A certificate and its private key, both PEM."""

    cert: str
    key: str

    go_type: ClassVar[str] = "sprig.certificate"

    def member(self, name: str) -> Callable[..., object] | None:
        """Cert and Key."""
        return {"Cert": lambda pair: pair.cert, "Key": lambda pair: pair.key}.get(name)

    def text(self) -> str:
        """As Go prints a struct."""
        return f"{{{self.cert} {self.key}}}"

    def fields(self) -> dict[str, object]:
        """Cert and Key."""
        return {"Cert": self.cert, "Key": self.key}


def build_custom_cert(certificate: str, key: str) -> Certificate:
    """A certificate and its key, both PEM in base 64, as a pair with .Cert and .Key; checks that they can be read."""
    from shared.gotemplate.funcs import ciphers  # noqa: PLC0415  # see its docstring

    cert_data, key_data = _decoded(certificate, "certificate"), _decoded(key, "private key")
    if max(len(cert_data), len(key_data)) > _MAX_PEM_BYTES:
        raise Fault(f"the certificate or its key is larger than {_MAX_PEM_BYTES} bytes")
    ciphers.check_certificate(cert_data, key_data)
    return Certificate(from_bytes(cert_data), from_bytes(key_data))


FUNCTIONS = {
    **group({"encryptAES": encrypt_aes, "decryptAES": decrypt_aes}),
    "buildCustomCert": function("buildCustomCert", build_custom_cert, work=_PARSING_WORK),
}
