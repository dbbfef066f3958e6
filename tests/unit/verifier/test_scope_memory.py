"""What the model of programs remembers of a namespace goes with every change of it."""

from bench import programs
from weftwork.compiler.settings import HostProfile
from weftwork.program.linux import NftElement
from weftwork.verifier.linux.model import LinuxModel
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.packet import ICMP, Inside, Probe


def test_a_neighbour_that_the_guard_silences_is_not_found_and_is_found_again() -> None:
    one, other = (programs.port(0, number) for number in range(2))
    program = programs.compiled(programs.many_projects(1, 2), HostProfile(filter_mode="bridge"))
    view = ProgramView(program)
    model, ping = LinuxModel(view), Probe(Inside(one.owner, one.id), other.addresses[0], ICMP)  # type: ignore[arg-type]
    silencing = {
        element
        for element in program
        if isinstance(element, NftElement) and element.set.startswith("guard") and other.mac in element.element
    }
    assert silencing

    assert model.verdict(ping).receiver is not None
    view.apply(removed=silencing)
    assert "nobody answers ARP" in str(model.verdict(ping).reasons)
    view.apply(added=silencing)
    assert model.verdict(ping).receiver is not None


def test_a_guest_has_the_address_that_is_said_of_it_now() -> None:
    port = programs.port(0, 0)
    program = programs.compiled(programs.many_projects(1, 1), HostProfile(filter_mode="bridge"))
    view = ProgramView(program)
    (scope,) = view.scopes.values()
    said = {one for one in program if port.mac in repr(one) and str(port.addresses[0]) in repr(one)}

    assert scope.address_of(port.device) == int(port.addresses[0])
    view.apply(removed=said)
    assert scope.address_of(port.device) is None
    view.apply(added=said)
    assert scope.address_of(port.device) == int(port.addresses[0])
