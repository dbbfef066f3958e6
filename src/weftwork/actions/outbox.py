"""What is to be said on the bus, kept in the store until the bus has it: written with the change that it is about.

So no committed request is lost, and none is said of a change that was not made.
"""

from secrets import token_hex

from weftwork.actions.claims import Draft
from weftwork.actions.network import Network
from weftwork.model import keys
from weftwork.model.vm import Vm
from weftwork.rpc import pitwall
from weftwork.seams.store import Put


def requested(network: Network, old: Vm | None, new: Vm | None) -> Draft:
    """The request that a change of a VM is to its host. Nothing where there is no bus."""
    said = network.settings.bus
    if said is None:
        return Draft()
    writes = []
    if new is not None and new.is_started and (old is None or old.run != new.run):
        request = pitwall.create_request(new, said.deployment)
        writes.append(_line(network, pitwall.CRUD + (new.host or said.name), request.SerializeToString()))
    if old is not None and (new is None or (old.is_started and not new.is_started)):
        request = pitwall.stop_request(old, said.deployment, for_good=new is None)
        writes.append(_line(network, pitwall.CRUD + (old.host or said.name), request.SerializeToString()))
    if old is not None and new is None:
        # Nobody can ask how a VM is that is no more: its end is said with its deletion.
        gone = pitwall.status(old, [], "STOPPED", old.host or said.name)
        writes.append(_line(network, f"{pitwall.STATUS}STOPPED", gone.SerializeToString(), 1))
    return Draft((), tuple(writes))


def _line(network: Network, key: str, body: bytes, number: int = 0) -> Put:
    stamp = f"{network.view.revision:016d}-{number}-{token_hex(8)}"
    return Put(keys.outbox(stamp), key.encode() + b"\n" + body)
