"""What a project file may say, and how its mistakes are told."""

import json
import time

import pytest

from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.declare.project import GroupSpec, PortSpec, ProjectSpec, SubnetSpec
from weftwork.declare.reading import SourceFile, read_projects
from weftwork.declare.schema import schema_text
from weftwork.model.security_group import GroupRef, Protocol, Rule

SHOP = ProjectKey("acme", "shop")
HEAD = "apiVersion: weftwork/v1\nkind: Project\n"


def read(text: str) -> ProjectSpec:
    return read_projects([SourceFile("a.yaml", HEAD + text)], SHOP)[SHOP]


def mistake(text: str) -> str:
    """Told of the text that stands below the two first lines."""
    with pytest.raises(Refusal) as refused:
        read(text)
    assert refused.value.code == "INVALID_PROJECT_FILE"
    return refused.value.message


def test_words_are_what_their_field_says_and_not_what_yaml_guesses() -> None:
    spec = read("subnets: {no: {domain: no, cidr: 10.1.0.0/24}}\nports: {y: {vm: 0x10}, n: {vm: 'null'}}\n")

    assert spec.subnets is not None and spec.subnets["no"].domain == "no"
    assert spec.ports == {"y": PortSpec(vm="0x10"), "n": PortSpec(vm="null")}


def test_only_true_and_false_are_flags() -> None:
    assert read("subnets: {a: {dhcp: false}}").subnets == {"a": SubnetSpec(dhcp=False)}
    assert mistake("subnets: {a: {dhcp: no}}") == "a.yaml:3:21: true or false is expected here"


def test_an_unknown_field_is_told_with_what_may_have_been_meant() -> None:
    assert mistake("subnets:\n  a:\n    cdir: 10.1.0.0/24\n") == (
        "a.yaml:5:5: a subnet has no field 'cdir'; is 'cidr' meant?"
    )


def test_a_key_that_comes_twice_is_refused_where_it_does() -> None:
    assert mistake("ports:\n  a: {}\n  a: {}\n") == "a.yaml:5:3: 'a' stands here twice, first in line 4"


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(Refusal) as refused:
        read("subnets: {a: {dhcp: 1}}\nports: {b: {mac: x}}\nsnat: {enabled: yes}\n")

    assert refused.value.message.endswith("(and 2 more)")
    assert [line.split(":")[1] for line in refused.value.details["mistakes"].split("\n")] == ["3", "4", "5"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: &x 1\nb: *x\n", "anchors and aliases are not read"),
        ("ports: {<<: {}}\n", "merge keys (<<) are not read"),
        ("vpc: !!python/object:os.system {}\n", "tags such as tag:yaml.org,2002:python/object:os.system are not read"),
        ("ports: [\n", "this is not YAML"),
        ("ports: {? [a] : b}\n", "a name is one word"),
        ("a: " + "[" * 50 + "]" * 50 + "\n", "nothing is nested deeper"),
        ("a: [" + "1," * 60_000 + "]\n", "more than 50000 values"),
        ("a: " + "x" * 600_000, "at most 524288 are read"),
        ("a: \x01\n", "a character that YAML cannot hold"),
    ],
)
def test_what_is_hostile_is_refused_at_once(text: str, what: str) -> None:
    start = time.perf_counter()

    assert what in mistake(text)
    assert time.perf_counter() - start < 5


def test_a_bomb_of_aliases_does_not_go_off() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )

    assert "anchors and aliases are not read" in mistake(bomb)


def test_documents_of_a_project_add_up_and_may_not_say_the_same_twice() -> None:
    spec = read(f"ports: {{a: }}\n---\n{HEAD}ports: {{b: }}\n")

    assert spec.ports == {"a": PortSpec(), "b": PortSpec()}
    assert (
        mistake(f"ports: {{a: }}\n---\n{HEAD}ports: {{a: }}\n") == "a.yaml:7:9: ports a stands in another document too"
    )


def test_a_project_has_one_half_of_a_peering_for_each_peer() -> None:
    assert "b is with a project that stands here already" in mistake("peerings: {a: acme/ops, b: acme/ops}\n")


def test_the_projects_own_full_ids_are_names() -> None:
    spec = read("security_groups: {web: {ingress: [all from acme/shop/web, all from acme/ops/web]}}\n")

    own, peers = (
        Rule(Protocol.ALL, None, one) for one in (GroupRef("web"), GroupRef("web", ProjectKey("acme", "ops")))
    )
    assert spec.security_groups == {"web": GroupSpec(ingress=(own, peers))}


def test_json_is_read_too() -> None:
    text = json.dumps({"apiVersion": "weftwork/v1", "kind": "Project", "ports": {"a": {"groups": []}}})

    assert read_projects([SourceFile("a.json", text)], SHOP)[SHOP].ports == {"a": PortSpec(groups=())}


def test_a_file_without_a_project_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        read_projects([SourceFile("a.yaml", "# nothing\n---\n")], SHOP)

    assert refused.value.code == "INVALID_PROJECT_FILE"


def test_the_schema_names_what_is_needed_and_lets_nothing_else_in() -> None:
    schema = json.loads(schema_text())

    assert schema["required"] == ["apiVersion", "kind"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["subnets"]["additionalProperties"]["additionalProperties"] is False
