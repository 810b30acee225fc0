"""Serving certificates: made, read from PEM, and checked to be of one piece. Time is handed in.

Each certificate has an authority of its own whose key is thrown away at once: what it has signed is all it ever signs.
Fed by: keys' randomness, PEM texts. Feeds: rotation.py, secret_store.py, cert_directory.py. Never: touches a file.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.errors import InvalidError

__all__ = ["KeyPair", "ends_s", "make_key_pair", "read_key_pair", "split_bundle"]

_BACKDATED_S: Final = 3600.0
"""Clocks differ: a certificate is valid from an hour before it was made (a tenth of its life, if that is less)."""
_PEM: Final = serialization.Encoding.PEM
_END: Final = b"-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A serving certificate with its key, and the authority that vouches for it. All PEM."""

    authority: bytes
    """What goes into a caBundle; empty when it is not known (a certificate that was given without)."""
    certificate: bytes
    """The certificate, then what it is chained by, if anything."""
    key: bytes = field(repr=False)
    names: frozenset[str]
    """DNS names and IP addresses that it stands for."""
    not_before_s: float
    not_after_s: float

    def stands_for(self, names: Iterable[str], now_s: float) -> bool:
        """Whether it can be served under all these names at this time (seconds since 1970).

        That it has begun is not asked: a replica whose clock is late must not replace what the others serve.
        """
        return self.names.issuperset(names) and now_s < self.not_after_s


def make_key_pair(names: frozenset[str], now_s: float, life_s: float) -> KeyPair:
    """A new authority and a certificate for these names (ECDSA P-256), valid for `life_s` from now."""
    start = datetime.fromtimestamp(now_s - min(_BACKDATED_S, life_s / 10), UTC)
    end = datetime.fromtimestamp(now_s + life_s, UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    subject = _name(f"rowplane webhook authority {serial % 16**8:08x}")  # of two in a bundle, each has its own name
    authority = (
        _builder(subject, subject, authority_key.public_key(), (start, end))
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = (
        _builder(_name("rowplane webhook"), subject, key.public_key(), (start, end))
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in sorted(names)]), critical=False)
        .add_extension(signer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return read_key_pair(authority.public_bytes(_PEM), certificate.public_bytes(_PEM), private)


def read_key_pair(authority: bytes, certificate: bytes, key: bytes) -> KeyPair:
    """PEM texts as one pair. Raises InvalidError when they are no PEM or do not belong together; never quotes them."""
    try:
        chain = x509.load_pem_x509_certificates(certificate)
        private = serialization.load_pem_private_key(key, password=None)
        authorities = x509.load_pem_x509_certificates(authority) if authority else []
    except (ValueError, TypeError) as error:
        raise InvalidError("certificate or key is not readable as PEM") from error
    leaf = chain[0]
    if private.public_key() != leaf.public_key():
        raise InvalidError("certificate and key do not belong together")
    if authorities and not any(_is_signed(last, by) for last in chain for by in authorities):
        raise InvalidError("the authority has not signed the certificate")
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise InvalidError("the certificate stands for no name: it has no subject alternative names") from error
    names = {name.lower() for name in found.get_values_for_type(x509.DNSName)}
    names |= {str(address) for address in found.get_values_for_type(x509.IPAddress)}
    return KeyPair(
        authority,
        certificate,
        key,
        frozenset(names),
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
    )


def split_bundle(bundle: bytes) -> tuple[bytes, ...]:
    """The certificates of a PEM bundle, one text each; what is not PEM is left out."""
    parts = (
        part[part.find(b"-----BEGIN") :] + _END + b"\n" for part in bundle.split(_END)[:-1] if b"-----BEGIN" in part
    )
    return tuple(part for part in parts if ends_s(part) > 0)


def ends_s(certificate: bytes) -> float:
    """When a certificate ends, in seconds since 1970; 0 when it is not readable."""
    try:
        return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
    except ValueError:
        return 0.0


def _is_signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return certificate == by
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, life: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    start, end = life
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
