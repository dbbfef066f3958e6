"""A fork answers half of the questions, and whatever becomes of it, all of them are answered."""

import os
import signal

import pytest

from weftwork.controller import halves
from weftwork.controller.halves import WORTH_IT, in_halves

QUESTIONS = range(3 * WORTH_IT + 1)
TWO = {0, 1}


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: TWO)


def who_and_what(question: int) -> tuple[int, int]:
    return os.getpid(), question * question


@pytest.mark.usefixtures("two_processors")
def test_answers_come_in_the_order_of_the_questions_half_of_them_from_a_fork() -> None:
    answers = in_halves(who_and_what, QUESTIONS)

    assert [square for _, square in answers] == [one * one for one in QUESTIONS]
    mine = [pid == os.getpid() for pid, _ in answers]
    assert mine == [one % 2 == 0 for one in QUESTIONS]
    assert_no_child_is_left()


@pytest.mark.usefixtures("two_processors")
def test_a_fork_that_ends_too_soon_is_answered_for() -> None:
    me = os.getpid()

    def dies_in_the_fork(question: int) -> int:
        if os.getpid() != me and question > WORTH_IT:
            os.kill(os.getpid(), 9)
        return -question

    assert in_halves(dies_in_the_fork, QUESTIONS) == [-one for one in QUESTIONS]
    assert_no_child_is_left()


@pytest.mark.usefixtures("two_processors")
def test_a_fork_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "PATIENCE_S", 0.1)
    me = os.getpid()

    def hangs_in_the_fork(question: int) -> int:
        if os.getpid() != me:
            signal.pause()
        return -question

    assert in_halves(hangs_in_the_fork, QUESTIONS) == [-one for one in QUESTIONS]
    assert_no_child_is_left()


@pytest.mark.usefixtures("two_processors")
def test_what_fails_in_the_fork_fails_here() -> None:
    def fails(question: int) -> int:
        return 1 // (question - 1)

    with pytest.raises(ZeroDivisionError):
        in_halves(fails, QUESTIONS)
    assert_no_child_is_left()


@pytest.mark.usefixtures("two_processors")
def test_what_fails_here_leaves_no_fork_behind() -> None:
    def fails(question: int) -> int:
        return 1 // question

    with pytest.raises(ZeroDivisionError):
        in_halves(fails, QUESTIONS)
    assert_no_child_is_left()


@pytest.mark.usefixtures("two_processors")
def test_a_fork_holds_none_of_what_we_have_open() -> None:
    here, there = os.pipe()

    def is_open(_: int) -> bool:
        try:
            os.fstat(there)
        except OSError:
            return False
        return True

    answers = in_halves(is_open, QUESTIONS)
    os.close(here)
    os.close(there)
    assert answers == [one % 2 == 0 for one in QUESTIONS]


def test_few_questions_are_not_worth_a_fork() -> None:
    me = os.getpid()
    assert all(pid == me for pid, _ in in_halves(who_and_what, range(WORTH_IT - 1)))


def test_one_processor_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    me = os.getpid()
    assert all(pid == me for pid, _ in in_halves(who_and_what, QUESTIONS))


def assert_no_child_is_left() -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
