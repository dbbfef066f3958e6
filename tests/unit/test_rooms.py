"""Every room says what lives in it."""

import ast
from pathlib import Path

import pytest

import weftwork

ROOT = Path(weftwork.__file__).parent
PACKAGES = sorted({path.parent for path in ROOT.rglob("*.py")})


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_a_package_says_what_lives_in_it(package: Path) -> None:
    opening = package / "__init__.py"

    assert opening.is_file(), f"{package} is not a package"
    assert ast.get_docstring(ast.parse(opening.read_text())), f"{opening} has no docstring"
