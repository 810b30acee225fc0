"""What a client of the API server makes of its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import UsageError
from shared.kube import KubeClient
from shared.settings import KubeSettings

SECRET = "token-4711"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"clusters: 5",
        b"a: {",
        f'"""text""" {SECRET}'.encode(),
        b"\xc8\xff",
        b"contexts: [1]\ncurrent-context: c",
    ],
)
def test_a_file_that_is_no_kubeconfig_is_told_in_a_sentence_without_what_it_holds(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        KubeClient.connect(KubeSettings(str(file)))
    assert str(file) in caught.value.text
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        KubeClient.connect(KubeSettings(str(tmp_path / "nowhere")))
