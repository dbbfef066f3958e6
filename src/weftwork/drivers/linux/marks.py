"""Our mark: the first word of an alias, `weftwork/<deployment>`. Pure.

A deployment is a store and what was made for it. Before deployments the word was `weftwork` alone: theirs is "".
"""

WORD = "weftwork"


def word_of(deployment: str) -> str:
    return f"{WORD}/{deployment}" if deployment else WORD


def deployment_in(alias: str) -> str | None:
    """Whose the marked thing is; None for what is nobody's of ours."""
    word, _, deployment = alias.partition(" ")[0].partition("/")
    return deployment if word == WORD else None
