"""The verifier as the judge of OVN's rows."""

from collections.abc import Iterable

from weftwork.base.addresses import Address, Cidr
from weftwork.controller.judging import VerifierJudge
from weftwork.verifier.ovn import judge as ovn
from weftwork.verifier.ovn.view import RowsView


def ovn_judge(
    gateway: Address | None = None, networks: Iterable[Cidr] = (), *, has_chassis: bool = True
) -> VerifierJudge:
    return VerifierJudge(RowsView(gateway=gateway, networks=networks, has_chassis=has_chassis), ovn.judge)
