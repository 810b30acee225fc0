"""Our template engine beside Go's own with Sprig: what one renders the other renders, and where one fails both do.

Templates are generated, by a fixed seed and by a new one in every run. ROWPLANE_DIFFERENTIAL_TEMPLATES sets how many
per seed; a failure names the seed. `ROWPLANE_DIFFERENTIAL_SEED` takes the place of the new one.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.gotemplate import TemplateError, compile_template, render
from tests.oracle.calls import Calls
from tests.oracle.generator import Generator, Mutator
from tests.oracle.go_templates import GoTemplates, OracleEnded, start
from tests.oracle.samples import VARIABLES

pytestmark = pytest.mark.stack

COUNT = int(os.environ.get("ROWPLANE_DIFFERENTIAL_TEMPLATES", "5000"))
"""Templates per seed: two fifths generated, as many calls with hostile texts, one fifth mutations of recorded ones."""
SEEDS = {"fixed": 20_261, "new": int(os.environ.get("ROWPLANE_DIFFERENTIAL_SEED", secrets.randbelow(1 << 32)))}

LIMITS = re.compile(
    r"(longer|deeper|more) than \d+|more work|is above 65536|nested too deep|too large for so many|pattern too large"
)
"""Our limits, which Go has not."""
ONLY_OURS = {
    "slice bounds out of range": "Go lets a slice grow into what append has allocated beyond its end",
    "unsupported value: a float": "toJson of Sprig drops the error of a float that is no number",
    "json: the year": "likewise for a date that JSON cannot have",
    "complex numbers are not supported": "they are not",
    "cannot print a value of type": "Go prints the struct's private fields, an address or a time zone among them",
    LIMITS.pattern: "see `shared.gotemplate.limits`",
}
"""Reasons for which ours alone fails, and why. Errors' texts are ours throughout and are not compared.

Left out of the templates themselves: what is random or reads the clock; `%p`, which prints addresses; dates that are
none, for which Sprig takes the present moment; time zones but UTC. The order of `keys` and `values` is random in
Sprig; the oracle sorts them as we do.
"""

Case = tuple[str, Mapping[str, object]]
Difference = tuple[str, str]
"""What Go says, and what ours says."""


@pytest.fixture(scope="module")
def go() -> Iterator[GoTemplates]:
    """Go's engine."""
    with start() as running:
        yield running


def ours(case: Case) -> tuple[str | None, str]:
    """What ours renders, or None and why not."""
    try:
        return compile_template(case[0]).render(case[1]), ""
    except TemplateError as error:
        return None, error.reason


def difference(go: GoTemplates, case: Case) -> Difference | None:
    """How the two differ, None when they agree or differ for a reason that is known."""
    return compared(go, case, *ours(case))


def compared(go: GoTemplates, case: Case, output: str | None, reason: str) -> Difference | None:
    """Likewise, when ours has rendered already."""
    try:
        theirs = go.answer(*case)
    except OracleEnded:
        return None if LIMITS.search(reason) else ("ended", repr(output) if output is not None else reason)
    if theirs.get("output") == output or (reason and any(re.search(known, reason) for known in ONLY_OURS)):
        return None
    return repr(theirs.get("output", theirs.get("error"))), repr(output) if output is not None else reason


def recorded() -> list[str]:
    """The templates of both corpora."""
    corpora = Path(__file__).parents[1] / "conformance"
    texts = [(corpora / f"go-template-{name}.json").read_text(encoding="utf-8") for name in ("cases", "recorded")]
    return [case["template"] for text in texts for case in json.loads(text)["cases"]]


def supplies(seed: int) -> dict[str, tuple[int, Callable[[], Case]]]:
    """How many templates of each sort, and where they come from."""
    generator, calls, mutator = Generator(seed), Calls(seed), Mutator(seed, recorded())
    return {
        "generated": (COUNT * 2 // 5, lambda: (generator.template(), VARIABLES)),
        "calls": (COUNT * 2 // 5, calls.case),
        "mutated": (COUNT // 5, lambda: (mutator.template(), VARIABLES)),
    }


@pytest.mark.timeout(0 if COUNT > 20_000 else 300)
@pytest.mark.parametrize("sort", ["generated", "calls", "mutated"])
@pytest.mark.parametrize("seed", SEEDS)
def test_both_render_the_same(go: GoTemplates, seed: str, sort: str) -> None:
    count, supply = supplies(SEEDS[seed])[sort]
    rendered = 0
    differences: list[tuple[Case, Difference]] = []
    for _ in range(count):
        case = supply()
        output, reason = ours(case)
        rendered += output is not None
        found = compared(go, case, output, reason)
        if found is not None:
            differences.append((case, found))
    told = [
        f"{case[0]!r} {dict(case[1]) if sort == 'calls' else ''}\n  Go:   {theirs}\n  ours: {own}"
        for case, (theirs, own) in differences[:20]
    ]
    assert not differences, f"{len(differences)} of {count} differ, seed {SEEDS[seed]}\n" + "\n".join(told)
    assert rendered > count * (0.15 if sort == "mutated" else 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_what_go_encrypts_is_decrypted(go: GoTemplates, seed: int) -> None:
    text = ("", "secret", "lönger than one block of sixteen bytes")[seed]
    encrypted = go.render('{{ encryptAES "pa55" .t }}', {"t": text})
    assert render('{{ decryptAES "pa55" .c }}', {"c": encrypted}) == text
    wrong = {"c": base64.b64encode(bytes(range(seed * 16))).decode()}
    assert difference(go, ('{{ decryptAES "pa55" .c }}', wrong)) is None


def test_certificates_are_read_as_by_go(go: GoTemplates) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name, begin = x509.Name([]), datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=1)).sign(
        key, hashes.SHA256()
    )
    certificate = made.public_bytes(Encoding.PEM)
    keys = [
        key.private_bytes(Encoding.PEM, form, NoEncryption())
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
    ]
    for first in (certificate, keys[0], b"", b"text"):
        for second in (*keys, certificate, b"text"):
            pair = {"c": base64.b64encode(first).decode(), "k": base64.b64encode(second).decode()}
            for template in (
                "{{ buildCustomCert .c .k }}",
                "{{ (buildCustomCert .c .k).Key }}",
                "{{ buildCustomCert .c .k | toJson }}",
            ):
                assert difference(go, (template, pair)) is None


def test_a_derived_password_is_gos(go: GoTemplates) -> None:
    for kind in ("maximum", "long", "medium", "short", "basic", "pin", "none"):
        assert difference(go, (f'{{{{ derivePassword 3 "{kind}" "pw" .u "example.com" }}}}', {"u": "üser"})) is None
