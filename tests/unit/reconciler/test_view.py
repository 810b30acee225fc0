"""The view of hubs and forms, and who hears of a new one."""

from __future__ import annotations

from reconciler.view import CatalogView, ViewHolder
from tests.builders import KEY, example_form, example_hub, view_of


def test_a_node_is_known_when_form_and_hub_are() -> None:
    found = view_of(example_form()).of(KEY)
    assert found is not None
    compiled, hub = found
    assert (compiled.form.key, hub.key) == (example_form().key, example_hub().key)
    assert view_of().of(KEY) is None
    assert CatalogView.empty().of(KEY) is None


def test_forms_of_a_hub() -> None:
    assert [form.metadata.name for form in view_of(example_form()).forms_of(example_hub())] == ["blue-green-app"]


def test_listeners_hear_of_each_view_with_the_one_before_it() -> None:
    first, second = CatalogView.empty(), view_of(example_form())
    holder = ViewHolder(first)
    heard: list[tuple[CatalogView, CatalogView, CatalogView]] = []
    holder.listen(lambda before, after: heard.append((before, after, holder.view)))
    holder.publish(second)
    assert heard == [(first, second, second)]
