"""What the SSH host keys of all VMs are derived from: in the store, where all servers find it, and in nothing else."""

import secrets

from weftwork.base.errors import Failure
from weftwork.model import keys
from weftwork.seams.store import Conflict, Put, Store, Transaction, Unchanged


async def guest_secret_of(store: Store) -> bytes:
    """Made now if there is none. Raises Failure when the store is out of reach."""
    for _ in range(8):
        record = await store.get(keys.guest_secret())
        if record is not None:
            return bytes.fromhex(record.value.decode())
        put = Put(keys.guest_secret(), secrets.token_hex(32).encode())
        try:
            await store.commit(Transaction((Unchanged(keys.guest_secret(), 0),), (put,)))
        except Conflict:
            continue
    raise Failure("STORE_UNAVAILABLE", "the secret of host keys could not be stored")
