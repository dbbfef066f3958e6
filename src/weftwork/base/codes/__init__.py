"""Every code a refused caller can meet: what it means and what to do. A code, once published, never changes meaning.

A file per part, all of them seen here: `codes.CODE.refusal(message)` makes the error; `ALL` is for the reference page.
Why packets pass or not is the registry's other half, `base/reasons.py`; no code is in both.
"""

from weftwork.base.codes.access import *
from weftwork.base.codes.changes import *
from weftwork.base.codes.code import ALL as ALL
from weftwork.base.codes.code import Code as Code
from weftwork.base.codes.data_plane import *
from weftwork.base.codes.fleet import *
from weftwork.base.codes.guests import *
from weftwork.base.codes.images import *
from weftwork.base.codes.nat import *
from weftwork.base.codes.network_policies import *
from weftwork.base.codes.peerings import *
from weftwork.base.codes.ports import *
from weftwork.base.codes.reach_tests import *
from weftwork.base.codes.security_groups import *
from weftwork.base.codes.server import *
from weftwork.base.codes.stacks import *
from weftwork.base.codes.store import *
from weftwork.base.codes.subnets import *
from weftwork.base.codes.vms import *
from weftwork.base.codes.words import *
