"""A route that is held for so long at most."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from reconciler.core.objects import ObjectRef
from shared.model.names import LABEL_NODE
from tests.builders import SPACE, example_document, example_form, node_row_of, view_of
from tests.unit.reconciler.member import BLUE, SERVICE, Member

FOREIGN = ObjectRef("v1", "Service", SPACE, "acme-corp-blue-test")


def test_an_object_that_is_looked_for_again_and_again_does_not_hold_a_route_for_ever(pool: ThreadPoolExecutor) -> None:
    """Each look began the route's time anew, and one of another node is looked for every ten seconds."""
    services = example_document("form")["spec"]["services"]
    services[0] |= {"skipOnDependencyFailure": False, "timeoutSeconds": 60}
    assert services[0]["nameTemplate"] == "{{ .uid }}-app"
    member = Member(pool, view=view_of(example_form(services=services)))
    member.offer(100, node_row_of())
    member.settle()
    member.api.change(FOREIGN, lambda raw: raw["metadata"]["labels"].update({LABEL_NODE: "globex"}))
    member.watch()
    member.offer(200, node_row_of(activeColor="green", greenVersion="v2"))
    for _ in range(6):
        member.run()
        assert member.api.objects[SERVICE]["spec"]["selector"]["color"] == "blue"
        member.api.make_available(BLUE)
        member.clock.advance(10.0)
    member.run()
    assert member.api.objects[SERVICE]["spec"]["selector"]["color"] == "green"
