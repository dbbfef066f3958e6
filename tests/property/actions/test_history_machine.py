"""Laws: the journal tells every state that a project had; the way back leads exactly there, or nowhere."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from test_network_machine import TwoTenants, owners

from weftwork.actions import history, rows
from weftwork.actions.object_lines import is_same
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Thing
from weftwork.model.keys import ThingKey
from weftwork.model.port import Port


class TwoTenantsWithAPast(TwoTenants):
    async def populate(self, owner: ProjectKey) -> None:
        self.remembered: dict[ProjectKey, dict[int, dict[ThingKey, Thing]]] = getattr(self, "remembered", {})
        await super().populate(owner)
        self.remember()

    def call(self, verb: Callable[..., Coroutine[Any, Any, Any]], **arguments: Any) -> Any:
        done = super().call(verb, **arguments)
        self.remember()
        return done

    def things_of(self, owner: ProjectKey) -> dict[ThingKey, Thing]:
        here = self.network.view.project(owner)
        return {rows.key_of(one): one for one in here.things()} if here else {}

    def remember(self) -> None:
        for owner in self.network.view.intent:
            self.remembered.setdefault(owner, {})[self.network.view.revision] = self.things_of(owner)

    def plugs(self) -> set[tuple[str, str]]:
        return set(self.network.view.plugs.items())

    @rule(owner=owners, data=st.data())
    def look_back(self, owner: ProjectKey, data: st.DataObject) -> None:
        revision = data.draw(st.sampled_from(sorted(self.remembered[owner])))
        told = self.run(history.things_at(self.network, owner=owner, revision=revision))
        assert told == self.remembered[owner][revision]

    @rule(owner=owners, data=st.data())
    def go_back(self, owner: ProjectKey, data: st.DataObject) -> None:
        revision = data.draw(st.sampled_from(sorted(self.remembered[owner])))
        wanted = self.remembered[owner][revision]
        was_there = owner in self.network.view.intent
        plugs = self.plugs()
        if self.call(history.rollback, owner=owner, revision=revision) is None:
            return
        assert self.plugs() <= plugs
        now = self.things_of(owner)
        assert now.keys() == wanted.keys()
        assert all(is_same(_unplugged(now[key]), _unplugged(thing)) for key, thing in wanted.items())
        if not was_there:
            self.given_macs = {known: macs for known, macs in self.given_macs.items() if known[0] != owner}

    @rule(owner=owners)
    def go_back_to_nothing(self, owner: ProjectKey) -> None:
        if self.call(history.rollback, owner=owner, revision=0):
            assert owner not in self.network.view.intent


def _unplugged(thing: Thing) -> Thing:
    """What is plugged is not the project's to bring back."""
    return replace(thing, vm="", attachment=None) if isinstance(thing, Port) else thing


TestTwoTenantsWithAPast = TwoTenantsWithAPast.TestCase
TestTwoTenantsWithAPast.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
del TwoTenants  # its own test is elsewhere
