"""The error tree: retriable on the class, exit codes, sentences with a mend."""

from __future__ import annotations

import re

import pytest

import shared.errors
from shared.errors import (
    ClusterBusy,
    ClusterError,
    ClusterUnreachable,
    FieldConflict,
    LogError,
    RowplaneError,
    SourceError,
)

EXPORTED = [getattr(shared.errors, name) for name in shared.errors.__all__]
CLASSES = [kind for kind in EXPORTED if issubclass(kind, RowplaneError)]
"""The tree; what else is exported says what an error carries."""
RETRIABLE = {
    "SourceUnreachable",
    "LogUnreachable",
    "ClusterUnreachable",
    "ClusterBusy",
    "NotOurs",
    "ObjectConflict",
    "WatchExpired",
}


def test_what_can_help_to_try_again_is_said_by_the_class() -> None:
    assert {c.__name__ for c in CLASSES if c.retriable} == RETRIABLE


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_has_an_exit_code_and_a_reason_fit_for_a_condition(kind: type[RowplaneError]) -> None:
    unreachable = kind.__name__.endswith("Unreachable")
    assert kind.exit_code == (2 if kind.__name__ == "UsageError" else 3 if unreachable else 1)
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", kind.reason)


@pytest.mark.parametrize("branch", [SourceError, LogError, ClusterError])
def test_every_branch_is_in_the_tree(branch: type[RowplaneError]) -> None:
    assert issubclass(branch, RowplaneError)
    assert not branch.retriable


def test_a_text_ends_with_its_mend() -> None:
    assert str(RowplaneError("the server refused")) == "the server refused"
    error = RowplaneError("the server refused", mend="Grant SELECT", reason="Denied")
    assert str(error) == "the server refused. Grant SELECT"
    assert (error.text, error.reason, RowplaneError.reason) == ("the server refused", "Denied", "Error")


def test_cluster_errors_carry_what_callers_decide_by() -> None:
    assert ClusterUnreachable("x").status == 0
    assert (ClusterBusy("x", retry_after_s=4.0).status, ClusterBusy("x", retry_after_s=4.0).retry_after_s) == (429, 4.0)
    conflict = FieldConflict("x", managers=("hpa",), fields=(".spec.replicas",))
    assert (conflict.status, conflict.managers, conflict.fields) == (409, ("hpa",), (".spec.replicas",))
