"""A contract type for import-linter: `forbidden`, about rooms of which some may not exist yet."""

from grimp import ImportGraph
from importlinter import ContractCheck
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.domain.imports import ModuleExpression


def present(modules: set[ModuleExpression], graph: ImportGraph) -> set[ModuleExpression]:
    """Without our own modules that do not exist; modules of others stay."""
    return {
        module
        for module in modules
        if not module.expression.startswith("weftwork.") or module.expression in graph.modules
    }


class ForbiddenWherePresent(ForbiddenContract):
    """Forbids the imports between those of the named rooms that exist."""

    type_name = "forbidden_where_present"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        for role in ("source_modules", "forbidden_modules"):
            setattr(self, role, present(getattr(self, role), graph))
        return super().check(graph, verbose)
