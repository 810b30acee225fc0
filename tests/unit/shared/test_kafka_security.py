"""Files of TLS and of the login to Kafka: what cannot be used is told before a client retries for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import UsageError
from shared.kafka_security import check_files, login_refused, read_password
from shared.settings import KafkaSettings


def test_a_password_ends_before_the_line_break(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(" s p ß\r\n", encoding="utf-8")
    assert read_password(str(path)) == " s p ß"


def test_nothing_to_check_without_security() -> None:
    check_files(KafkaSettings())


def secure(ca_file: str = "", cert_file: str = "", key_file: str = "", password_file: str = "") -> KafkaSettings:
    """Settings with TLS, and a login when a password file is given."""
    return KafkaSettings(
        security_protocol="SASL_SSL" if password_file else "SSL",
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        password_file=password_file,
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "cannot be read: No such file"), (b"\n", "is empty"), (b"\xff", "cannot be read: it is not text in UTF-8")],
)
def test_a_password_file_that_will_not_do(tmp_path: Path, content: bytes | None, text: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        check_files(secure(password_file=str(path)))
    assert caught.value.text.startswith(f"The password file {path} {text}")


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_certificate_files_that_will_not_do(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_bytes(content)
    for name, settings in (
        ("CA_FILE", secure(ca_file=str(path))),
        ("CERT_FILE", secure(cert_file=str(path), key_file=str(path))),
    ):
        with pytest.raises(UsageError) as caught:
            check_files(settings)
        assert caught.value.text.startswith(f"ROWPLANE_KAFKA_{name} {path} cannot be used: ")
        assert not caught.value.text.endswith((": ", "None"))


def test_a_refused_login_names_everything_but_the_password(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("squeamish", encoding="utf-8")
    settings = KafkaSettings(("a:1",), username="capture", sasl_mechanism="PLAIN", password_file=str(path))
    error = login_refused(settings, "Authentication failed")
    assert error.text == "Kafka at a:1 refused the login of capture by PLAIN: Authentication failed"
    assert "squeamish" not in str(error)
