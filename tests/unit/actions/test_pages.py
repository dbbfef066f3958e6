"""Pages of a filtered list: every page costs what it shows, however deep it is."""

from weftwork.actions.network import Stored
from weftwork.actions.pages import Sift, page_of

NAMES = tuple(f"{number:04d}" for number in range(1000))


async def test_a_page_of_a_filtered_list_looks_no_further_than_to_what_fills_it() -> None:
    looked_at: list[str] = []

    def get(name: str) -> Stored[str]:
        looked_at.append(name)
        return Stored(name, 1)

    even = Sift(matches=lambda one: int(one.value) % 2 == 0)
    found, token = [], ""
    while True:
        looked_at.clear()
        page = await page_of(NAMES, get, 10, token, even)
        assert len(looked_at) <= 20
        found += [one.value for one in page.items]
        token = page.next_page_token
        if not token:
            break

    assert found == list(NAMES[::2])


async def test_the_last_page_may_be_empty_and_says_that_it_is_the_last() -> None:
    first = Sift(matches=lambda one: one.value == NAMES[0])

    page = await page_of(NAMES, lambda name: Stored(name, 1), 1, "", first)
    last = await page_of(NAMES, lambda name: Stored(name, 1), 1, page.next_page_token, first)

    assert [one.value for one in page.items] == [NAMES[0]]
    assert (last.items, last.next_page_token) == ((), "")
