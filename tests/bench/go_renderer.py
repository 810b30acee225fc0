"""The Go program that renders a compiled form: Go's own text/template, Sprig, and objects built from their output.

Fed by: `go/`, built once into the cache of the stack, and compiled forms. Feeds: render.py. Never: renders by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.core.leaf import Leaf
from reconciler.core.plan import Constant, ListPlan, MapPlan, Plan
from reconciler.core.render import CompiledForm, CompiledResource, Owner
from tests.go_programs import go_program

_SOURCE = Path(__file__).parent / "go"


@dataclass(frozen=True, slots=True)
class Row:
    """One row and the node that it belongs to."""

    owner: Owner
    variables: Mapping[str, object]

    def document(self) -> dict[str, object]:
        """What the Go program reads."""
        key = self.owner.key
        return {"vars": self.variables, "node": key.name, "uid": self.owner.uid, "shard": self.owner.shard}


@dataclass(frozen=True, slots=True)
class Round:
    """What one engine made of some rows."""

    took_ns: Sequence[int]
    """Of each row."""
    hashes: Sequence[Sequence[str]]
    """Of the objects of each row, in the order of the form."""
    objects: Sequence[Sequence[Mapping[str, Any]]] = ()
    """The objects themselves, if they were asked for."""


class GoRenderer:
    """The running process; use it in a `with` statement."""

    def __init__(self, program: Path, form: CompiledForm) -> None:
        # One thread, like the process that it is compared with; its garbage is collected on the same core.
        environ = {**os.environ, "GOMAXPROCS": "1"}
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=environ
        )
        resources = [_resource(resource) for resource in form.resources]
        self.version = str(self._answer({"namespace": form.form.metadata.namespace, "resources": resources}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def render(self, rows: Sequence[Row], *, objects: bool = False) -> Round:
        """Render the rows one after the other."""
        answer = self._answer({"rows": [row.document() for row in rows], "objects": objects})
        made = [[item["manifest"] for item in items] for items in answer["objects"] or ()]
        return Round(answer["tookNs"], answer["hashes"], made)

    def _answer(self, document: object) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the process was started with pipes")
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the Go program has ended; its reason is above")
        return json.loads(line)


def program() -> Path:
    """The path of the program, which is built if it is not there. Raises StackError when it cannot be built."""
    return go_program("go-render-bench", _SOURCE, "the Go benchmark")


def _resource(compiled: CompiledResource) -> dict[str, object]:
    return {
        "id": compiled.resource.id,
        "deletionPolicy": compiled.resource.deletion_policy.value,
        "apiVersion": _leaf(compiled.api_version),
        "kind": _leaf(compiled.kind),
        "name": _leaf(compiled.name),
        "labels": [{"key": key, "leaf": _leaf(leaf)} for key, leaf in compiled.labels],
        "annotations": [{"key": key, "leaf": _leaf(leaf)} for key, leaf in compiled.annotations],
        "body": _plan(compiled.body),
    }


def _leaf(leaf: Leaf) -> dict[str, str]:
    return {"template": leaf.source, "type": leaf.type.value}


def _plan(plan: Plan) -> dict[str, object]:
    match plan:
        case Leaf():
            return {"leaf": _leaf(plan)}
        case MapPlan():
            return {"map": [{"key": key, "plan": _plan(inner)} for key, inner in plan.fields]}
        case ListPlan():
            return {"list": [_plan(inner) for inner in plan.items]}
        case Constant():
            return {"constant": plan.value}
