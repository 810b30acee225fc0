"""TLS to a database: what the client library needs for it, and what went wrong in plain words.

Fed by: logins, failed handshakes. Feeds: every connection to a database. Never: leaves a private key on a disk.
"""

from __future__ import annotations

import os
import ssl
from typing import Any, Final

from cdc.ports import Login, Tls
from shared.errors import SourceError, SourceRefused, SourceUnreachable

__all__ = ["handshake_failed", "tls_settings"]

REASON: Final = "TlsRefused"

_HOST_MISMATCHES: Final = (62, 64)
_STRANGERS: Final = (2, 18, 19, 20, 21)
_UNTIMELY: Final = (9, 10)
"""Codes of a refused certificate: X509_V_ERR_… of OpenSSL's x509_vfy.h."""


def tls_settings(tls: Tls | None) -> dict[str, Any]:
    """Arguments of pymysql.connect; without a wish it encrypts where the server offers it. Raises SourceRefused."""
    if tls is None:
        return {}
    if tls.mode == "Disabled":
        return {"ssl_disabled": True}
    return {"ssl": _context(tls)}


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.mode == "VerifyIdentity"
    context.verify_mode = ssl.CERT_NONE if tls.mode == "Required" else ssl.CERT_REQUIRED
    try:
        if tls.ca:
            context.load_verify_locations(cadata=tls.ca)
        else:
            context.load_default_certs()
    except (ssl.SSLError, ValueError) as error:
        raise SourceRefused(
            f"the authorities of tls.caRef cannot be used: {_word(error)}",
            mend="Put certificates in PEM into that key of the Secret",
            reason=REASON,
        ) from error
    if tls.certificate:
        _load_certificate(context, tls)
    return context


def _load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """The library reads key and certificate from a file only: this one lies in memory and has no name."""
    file = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(file, f"{tls.key}\n{tls.certificate}".encode())
        context.load_cert_chain(f"/proc/self/fd/{file}")
    except (OSError, ValueError) as error:  # ssl.SSLError is one
        raise SourceRefused(
            f"the client certificate of tls.certRef cannot be used: {_word(error)}",
            mend="Put a certificate and its key, without a passphrase, in PEM into tls.crt and tls.key of the Secret",
            reason=REASON,
        ) from error
    finally:
        os.close(file)


def handshake_failed(login: Login, error: ssl.SSLError) -> SourceError:
    """Why no TLS connection came about."""
    server = f"database {login.host}:{login.port}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return SourceUnreachable(f"{server} ended the TLS handshake", mend="Check its error log")
    if not isinstance(error, ssl.SSLCertVerificationError):
        return SourceRefused(
            f"TLS with {server} failed: {_word(error)}",
            mend="Check which TLS versions it speaks, and whether it trusts the client certificate of tls.certRef",
            reason=REASON,
        )
    if error.verify_code in _HOST_MISMATCHES:
        return SourceRefused(
            f"the certificate of {server} is not for {login.host}",
            mend="Name the host as the certificate does, or set tls.mode to VerifyCA",
            reason=REASON,
        )
    if error.verify_code in _STRANGERS:
        text = f"the certificate of {server} comes from an authority that is not trusted here ({error.verify_message})"
        return SourceRefused(text, mend="Let tls.caRef name the certificate of that authority", reason=REASON)
    mend = "Renew it" if error.verify_code in _UNTIMELY else "Give the server another one"
    return SourceRefused(f"the certificate of {server} was refused: {error.verify_message}", mend=mend, reason=REASON)


def _word(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason.replace("_", " ").lower() if reason else "there is no certificate in it"
