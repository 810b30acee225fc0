"""Places inside a body: (key, index, …) from its root.

Fed by: fields.py. Feeds: objects.py, managed.py, fields.py. Never: changes a body in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Location", "text_of", "without"]

Location = tuple[str | int, ...]


def text_of(location: Location) -> str:
    """`spec.template.spec.containers[0].image`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def without(body: Mapping[str, Any], locations: Iterable[Location]) -> dict[str, Any]:
    """The body without what is at these places; elements of lists keep their places, so that other places stay right.

    An element that is left out whole becomes None.
    """
    result = dict(body)
    for location in locations:
        result = _pruned(result, location)
    return result


def _pruned(value: Any, location: Location) -> Any:
    head, rest = location[0], location[1:]
    if isinstance(value, dict) and head in value:
        if not rest:
            return {k: v for k, v in value.items() if k != head}
        return {**value, head: _pruned(value[head], rest)}
    if isinstance(value, list) and isinstance(head, int) and head < len(value):
        inner = _pruned(value[head], rest) if rest else None
        return [*value[:head], inner, *value[head + 1 :]]
    return value
