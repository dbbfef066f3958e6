"""The store over etcd v3: several servers share it, and it survives the loss of a member. See docs/explain/store.md."""

from weftwork.store.etcd.client import EtcdPlace
from weftwork.store.etcd.store import EtcdStore

__all__ = ["EtcdPlace", "EtcdStore"]
