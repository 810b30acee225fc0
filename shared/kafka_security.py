"""TLS and login to Kafka as both client libraries need them: the files, and what went wrong in plain words.

Fed by: settings, the files that they name. Feeds: `shared.kafka`, the librdkafka adapter. Never: keeps or prints a
password; it is read when a login begins.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from shared.errors import LogRefused, UsageError
from shared.settings import KafkaSettings

__all__ = ["check_files", "login_refused", "not_trusted", "read_password"]


def read_password(path: str) -> str:
    """The file's text without the line break at its end. Raises UsageError."""
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(
            f"The password file {path} cannot be read: {reason}",
            mend="Set ROWPLANE_KAFKA_PASSWORD_FILE to a file that holds the password alone",
        ) from error
    if not text:
        raise UsageError(f"The password file {path} is empty", mend="Write the password into it")
    return text


def check_files(settings: KafkaSettings) -> None:
    """Raises UsageError when a file of the settings cannot be used; both libraries would only retry for ever."""
    if settings.has_login:
        read_password(settings.password_file)
    if not settings.has_tls:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.ca_file:
        try:
            context.load_verify_locations(settings.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise _unusable("CA_FILE", settings.ca_file, error, "a PEM file of certificates") from error
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except OSError as error:
            raise _unusable(
                "CERT_FILE", settings.cert_file, error, "a PEM file, and ROWPLANE_KAFKA_KEY_FILE to its key"
            ) from error


def _unusable(name: str, path: str, error: OSError, wanted: str) -> UsageError:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return UsageError(
        f"ROWPLANE_KAFKA_{name} {path} cannot be used: {reason or 'it holds no certificate'}",
        mend=f"Set it to {wanted}",
    )


def login_refused(settings: KafkaSettings, detail: str) -> LogRefused:
    """The brokers do not take the login; `detail` is their word."""
    return LogRefused(
        f"Kafka at {','.join(settings.bootstrap_servers)} refused the login of {settings.username} by "
        f"{settings.sasl_mechanism}: {detail}",
        mend="Check ROWPLANE_KAFKA_USERNAME, _SASL_MECHANISM and what the file of ROWPLANE_KAFKA_PASSWORD_FILE holds",
        reason="KafkaLoginRefused",
    )


def not_trusted(settings: KafkaSettings, detail: str) -> LogRefused:
    """The TLS handshake failed; `detail` is the library's word."""
    return LogRefused(
        f"TLS with Kafka at {','.join(settings.bootstrap_servers)} failed: {detail}",
        mend="Set ROWPLANE_KAFKA_CA_FILE to the authority that signed the brokers' certificate for this host name, and "
        "ROWPLANE_KAFKA_SECURITY_PROTOCOL to the protocol of the listener",
        reason="KafkaNotTrusted",
    )
