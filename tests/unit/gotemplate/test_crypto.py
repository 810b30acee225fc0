"""AES, and certificates that come with a row."""

import base64
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from shared.gotemplate import TemplateError, render


@pytest.fixture(scope="module")
def pair() -> dict[str, object]:
    """A certificate `c` and its key `k`, PEM in base 64."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = (x509.CertificateBuilder(name, name, key.public_key(), 7, start, start + timedelta(days=1))).sign(
        key, hashes.SHA256()
    )
    texts = {
        "c": made.public_bytes(Encoding.PEM),
        "k": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    return {name: base64.b64encode(text).decode() for name, text in texts.items()}


def test_a_certificate_and_its_key_go_together(pair: dict[str, object]) -> None:
    template = "{{ $p := buildCustomCert .c .k }}{{ eq ($p.Cert | b64enc) .c }} {{ eq ($p.Key | b64enc) .k }}"
    assert render(template, pair) == "true true"
    assert render('{{ (buildCustomCert .c .k | toJson | fromJson).Key | hasPrefix "-----BEGIN" }}', pair) == "true"
    assert render('{{ buildCustomCert .c .k | print | hasPrefix "{-----BEGIN" }}', pair) == "true"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ buildCustomCert `?` .k }}", "the certificate is no base 64"),
        ("{{ buildCustomCert .c `?` }}", "the private key is no base 64"),
        ("{{ buildCustomCert .k .k }}", "the certificate cannot be read"),
        ("{{ buildCustomCert .c .c }}", "the private key cannot be read"),
        ("{{ buildCustomCert .c (repeat 100000 `a` | b64enc) }}", "larger than 65536 bytes"),
        ("{{ (buildCustomCert .c .k).Serial }}", "can't evaluate field Serial"),
    ],
)
def test_what_is_no_certificate(pair: dict[str, object], template: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        render(template, pair)


def test_decrypting() -> None:
    text = "30tEfhuJSVRhpG97XCuWgz2okj7L8vQ1s6V9zVUPeDQ="  # "plaintext" with "secretkey", as Sprig's own tests have it
    assert render('{{ decryptAES "secretkey" .t }}', {"t": text}) == "plaintext"
    assert render('{{ decryptAES "any" "" }}', {}) == ""


@pytest.mark.parametrize("text", ["%", "AAAA", "A" * 22 + "==", "A" * 64])
def test_what_cannot_be_decrypted(text: str) -> None:
    with pytest.raises(TemplateError, match=r"base 64|whole number|with this password"):
        render('{{ decryptAES "pw" .t }}', {"t": text})


def test_a_process_that_renders_has_no_library_of_cryptography_until_a_template_calls_for_it() -> None:
    program = "import sys, reconciler.app; print('cryptography' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
