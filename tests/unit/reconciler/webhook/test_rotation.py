"""Certificates and their renewal: who is trusted while which certificate can be met."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from reconciler.webhook.certificates import KeyPair, ends_s, make_key_pair, read_key_pair, split_bundle
from reconciler.webhook.rotation import Kept, advance, renewal_s
from shared.errors import InvalidError

NOW = 1767225600.0
LIFE_S = 90 * 86400.0
NAMES = frozenset(("webhook.shop.svc", "127.0.0.1", "::1"))


@cache
def pair(number: float = 0, life_s: float = LIFE_S, names: frozenset[str] = NAMES) -> KeyPair:
    """Certificates are slow to make by the hundred."""
    return make_key_pair(names, NOW + number, life_s)


def settled(_authority: bytes) -> bool:
    return True


def fresh(_authority: bytes) -> bool:
    return False


def forge(names: frozenset[str]) -> KeyPair:
    raise AssertionError(f"a certificate was made for {sorted(names)}")


def makes(made: KeyPair) -> Callable[[frozenset[str]], KeyPair]:
    return lambda _names: made


# -- certificates -----------------------------------------------------------------------------------------------------


def test_a_certificate_stands_for_names_and_addresses() -> None:
    found = x509.load_pem_x509_certificate(pair().certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["webhook.shop.svc"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert pair().names == NAMES


def test_keys_are_elliptic_and_the_authority_signs_one_certificate_only() -> None:
    certificate = x509.load_pem_x509_certificate(pair().certificate)
    authority = x509.load_pem_x509_certificate(pair().authority)
    for one in (certificate, authority):
        key = one.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    certificate.verify_directly_issued_by(authority)


@pytest.mark.parametrize(("life_s", "early_s"), [(LIFE_S, 3600.0), (100.0, 10.0)])
def test_it_is_valid_from_a_little_before(life_s: float, early_s: float) -> None:
    found = pair(0, life_s)
    assert (found.not_before_s, found.not_after_s) == (NOW - early_s, NOW + life_s)


def test_two_authorities_have_two_names() -> None:
    subjects = {x509.load_pem_x509_certificate(pair(number).authority).subject for number in (0, 1)}
    assert len(subjects) == 2


def test_openssl_takes_the_bundle() -> None:
    context = ssl.create_default_context(cadata=(pair(0).authority + pair(1).authority).decode())
    assert len(context.get_ca_certs()) == 2


def test_the_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(pair())


def test_pieces_that_do_not_belong_together_are_told() -> None:
    one, other = pair(0), pair(1)
    with pytest.raises(InvalidError, match="certificate and key do not belong together"):
        read_key_pair(one.authority, one.certificate, other.key)
    with pytest.raises(InvalidError, match="the authority has not signed"):
        read_key_pair(other.authority, one.certificate, one.key)
    assert read_key_pair(b"", one.certificate, one.key).authority == b""
    assert read_key_pair(other.authority + one.authority, one.certificate, one.key).names == NAMES


@pytest.mark.parametrize("spoilt", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_pem_is_told_without_quoting_it(spoilt: bytes) -> None:
    one = pair()
    for texts in ((one.authority, spoilt, one.key), (one.authority, one.certificate, spoilt)):
        with pytest.raises(InvalidError, match=r"^certificate or key is not readable as PEM$"):
            read_key_pair(*texts)


def test_a_certificate_without_names_is_told() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7)
    builder = builder.not_valid_before(datetime.fromtimestamp(NOW, UTC))
    builder = builder.not_valid_after(datetime.fromtimestamp(NOW + 60, UTC))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(InvalidError, match="no subject alternative names"):
        read_key_pair(b"", builder.sign(key, hashes.SHA256()).public_bytes(pem), private)


def test_a_bundle_is_split_and_joined_again() -> None:
    parts = (pair(0).authority, pair(1).authority)
    assert split_bundle(b"".join(parts)) == parts
    assert split_bundle(b"# a comment\n" + parts[0] + b"rubbish" + parts[1] + b"rubbish") == parts
    assert split_bundle(b"") == split_bundle(b"rubbish") == ()
    assert ends_s(b"rubbish") == 0.0


# -- renewal ----------------------------------------------------------------------------------------------------------


def test_the_first_one_is_made() -> None:
    assert advance(None, NAMES, NOW, makes(pair(0)), fresh) == Kept(pair(0))


def test_a_certificate_is_kept_for_two_thirds_of_its_life() -> None:
    kept = Kept(pair(0))
    due_s = renewal_s(pair(0))
    assert due_s == pytest.approx(NOW + LIFE_S * 2 / 3, abs=3600)
    assert advance(kept, NAMES, due_s - 1, forge, fresh) is kept


def test_then_the_next_is_announced_before_it_is_served() -> None:
    due_s = renewal_s(pair(0))
    kept = advance(Kept(pair(0)), NAMES, due_s, makes(pair(1)), fresh)
    offer = kept.offer(due_s)
    assert offer.serve == pair(0)
    assert offer.authorities == (pair(0).authority, pair(1).authority)
    assert advance(kept, NAMES, due_s + 1, forge, fresh) is kept


def test_once_that_has_settled_it_is_served_and_the_old_one_is_trusted_on() -> None:
    due_s = renewal_s(pair(0))
    kept = advance(Kept(pair(0), pair(1)), NAMES, due_s + 60, forge, settled)
    offer = kept.offer(due_s + 60)
    assert offer.serve == pair(1)
    assert offer.authorities == (pair(1).authority, pair(0).authority)


def test_an_authority_that_has_ended_is_forgotten() -> None:
    kept = Kept(pair(1), None, (pair(0, 100.0).authority,))
    assert advance(kept, NAMES, NOW + 101, forge, fresh) == Kept(pair(1))


def test_after_a_long_sleep_the_announced_one_is_served_at_once() -> None:
    kept = Kept(pair(0, 100.0), pair(1))
    found = advance(kept, NAMES, NOW + 200, forge, fresh)
    assert found.current == pair(1)
    assert found.offer(NOW + 200).authorities == (pair(1).authority,)


def test_one_that_has_ended_is_replaced_at_once() -> None:
    found = advance(Kept(pair(0, 100.0)), NAMES, NOW + 200, makes(pair(1)), fresh)
    assert found.current == pair(1)


def test_a_new_name_takes_effect_at_once_and_the_old_names_stay() -> None:
    asked: list[frozenset[str]] = []

    def make(names: frozenset[str]) -> KeyPair:
        asked.append(names)
        return pair(1)

    found = advance(Kept(pair(0)), frozenset(("other.shop.svc",)), NOW, make, fresh)
    assert asked == [NAMES | {"other.shop.svc"}]
    assert found.offer(NOW).authorities == (pair(1).authority, pair(0).authority)


def test_a_next_one_for_other_names_is_made_again() -> None:
    odd = pair(2, names=frozenset(("old",)))
    kept = Kept(pair(0), odd)
    found = advance(kept, NAMES, renewal_s(pair(0)), makes(pair(1)), settled)
    assert (found.current, found.following) == (pair(0), pair(1))


def test_the_past_is_bounded() -> None:
    kept = Kept(pair(0))
    for number in range(1, 10):
        kept = advance(kept, NAMES | {f"host-{number}"}, NOW, makes(pair(number)), fresh)
    assert len(kept.offer(NOW).authorities) <= 5


@given(steps=st.lists(st.floats(min_value=0.5, max_value=40.0), min_size=10, max_size=80))
def test_no_replica_ever_serves_what_was_not_announced_for_long_enough(steps: list[float]) -> None:
    """Two replicas look at odd times (never 100 s apart, a third of a life) at one shared state; either may be late."""
    since: dict[bytes, float] = {}
    now_s = NOW

    def is_settled(authority: bytes) -> bool:
        return authority in since and now_s - since[authority] >= 10.0

    def make(_names: frozenset[str]) -> KeyPair:
        return pair(round(now_s - NOW, 1), 300.0)

    kept = Kept(pair(0, 300.0))
    served = [kept.current, kept.current]
    for index, step in enumerate(steps):
        now_s += step
        kept = advance(kept, NAMES, now_s, make, is_settled)
        offer = kept.offer(now_s)
        fresh_ones = {pem: now_s for pem in offer.authorities if pem not in since}
        since |= fresh_ones
        served[index % 2] = offer.serve
        for one in served:
            assert one.not_after_s > now_s
            assert one.authority in offer.authorities
            assert one.authority == pair(0, 300.0).authority or is_settled(one.authority)
