"""Settings of the webhook: defaults, what each variable sets, and a sentence for what cannot be used."""

from __future__ import annotations

import pytest

from shared.errors import UsageError
from shared.settings import WebhookSettings, load_webhook


def test_without_variables_the_defaults_hold() -> None:
    found = load_webhook({})
    assert found == WebhookSettings()
    assert found.service_place == ("rowplane-system", "rowplane-webhook", 443)
    assert found.secret_place == ("rowplane-system", "rowplane-webhook-certificate")
    assert load_webhook(dict.fromkeys(EVERYTHING, "")) == found


EVERYTHING = {
    "ROWPLANE_WEBHOOK_PORT": "8443",
    "ROWPLANE_WEBHOOK_HOST": "::",
    "ROWPLANE_WEBHOOK_SERVICE": "shop/hook:9443",
    "ROWPLANE_WEBHOOK_URL": "https://hooks.example.com:9443",
    "ROWPLANE_WEBHOOK_SECRET": "shop/hook.tls",
    "ROWPLANE_WEBHOOK_CERT_DIR": "/certificates",
    "ROWPLANE_WEBHOOK_REGISTER": "False",
}


def test_every_variable_is_read() -> None:
    found = load_webhook(EVERYTHING)
    assert found == WebhookSettings(
        8443, "::", "shop/hook:9443", "https://hooks.example.com:9443", "shop/hook.tls", "/certificates", False
    )
    assert found.service_place == ("shop", "hook", 9443)
    assert found.secret_place == ("shop", "hook.tls")


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("PORT", "65536", "at most 65535"),
        ("SERVICE", "hook", "namespace/name"),
        ("SERVICE", "shop/hook:", "namespace/name:port"),
        ("SERVICE", "shop/hook:0", "namespace/name:port"),
        ("SERVICE", "shop/hook:65536", "namespace/name:port"),
        ("SERVICE", "Shop/hook", "namespace/name"),
        ("SERVICE", "shop/hook/x", "namespace/name"),
        ("SECRET", "hook", "namespace/name"),
        ("URL", "http://hooks.example.com", "https://host"),
        ("URL", "https://", "https://host"),
        ("URL", "https://hooks.example.com/path", "without a path"),
        ("URL", "https://hooks.example.com?x=1", "without a path"),
        ("URL", "https://user@hooks.example.com", "https://host"),
        ("URL", "https://hooks.example.com:port", "https://host"),
        ("URL", "https://hooks.example.com:70000", "https://host"),
        ("REGISTER", "yes", "true or false"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_mend(name: str, value: str, mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_webhook({f"ROWPLANE_WEBHOOK_{name}": value})
    assert caught.value.text == f"ROWPLANE_WEBHOOK_{name} is {value!r}"
    assert mend in caught.value.mend
