"""From the bytes of a review to the bytes of its answer, counted and logged.

Fed by: server.py. Feeds: server.py. Never: lets an exception out: a fault of ours is HTTP 500 with words.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import structlog

from reconciler.webhook.admission import Look, Stage, answer, read_review
from reconciler.webhook.manifests import PATHS
from reconciler.webhook.metrics import Metrics
from reconciler.webhook.server import Reply
from shared.errors import InvalidError

__all__ = ["responder"]

log = structlog.get_logger(__name__)


def responder(look: Look, metrics: Metrics) -> Callable[[str, bytes], Reply]:
    """A function that answers the body posted to a path."""

    def respond(path: str, body: bytes) -> Reply:
        if path not in PATHS:
            metrics.refused.labels("path").inc()
            return _words(404, f"there is no webhook at {path[:100]}")
        stage, _ = PATHS[path]
        try:
            with metrics.duration.labels(stage).time():
                return _review(stage, body, look, metrics)
        except InvalidError as error:
            metrics.refused.labels("review").inc()
            log.warning("a body is no review", path=path, reason=error.text)
            return _words(400, error.text)
        except Exception as error:
            metrics.refused.labels("fault").inc()
            log.exception("a review could not be answered", path=path)
            return _words(500, f"the review failed inside the webhook: {type(error).__name__}; its log has the rest")

    return respond


def _review(stage: Stage, body: bytes, look: Look, metrics: Metrics) -> Reply:
    request = read_review(_decode(body))
    answered = answer(request, stage, look)
    metrics.answered(stage, request, answered)
    if not answered.allowed:
        log.info("refused", kind=request.kind, name=request.name, errors=list(answered.errors[:5]))
    return 200, json.dumps(answered.document).encode(), "application/json"


def _decode(body: bytes) -> object:
    try:
        return json.loads(body)
    except RecursionError as error:
        raise InvalidError("the body is nested too deeply") from error
    except ValueError as error:
        raise InvalidError("the body is not JSON") from error


def _words(status: int, text: str) -> Reply:
    return status, f"{text}\n".encode(), "text/plain; charset=utf-8"
