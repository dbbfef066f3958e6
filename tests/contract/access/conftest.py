"""An authority for everybody's certificates, and an issuer of logins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from weftwork.testing.certificates import Authority
from weftwork.testing.issuer import TestIssuer, issuing


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def issuer(ca: Authority) -> Iterator[TestIssuer]:
    with issuing(ca) as issuer:
        yield issuer
