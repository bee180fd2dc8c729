from __future__ import annotations

from mesh.transport.nats.window import Window


def test_it_holds_what_is_used_up_in_a_moment() -> None:
    window = Window(256, now=0.0)
    for _ in range(50):
        window.take()
    window.measure(now=0.1)
    assert window.ahead == 50


def test_it_holds_no_more_than_it_may() -> None:
    window = Window(8, now=0.0)
    for _ in range(1000):
        window.take()
    window.measure(now=0.1)
    assert window.ahead == 8


def test_it_holds_nothing_for_who_works_slowly() -> None:
    window = Window(256, now=0.0)
    window.take()
    window.measure(now=0.001)
    assert window.ahead > 1
    window.take()
    window.measure(now=1.0)
    assert window.ahead == 0


def test_it_holds_nothing_where_nothing_may_be_fetched_ahead() -> None:
    window = Window(1, now=0.0)
    for _ in range(1000):
        window.take()
    window.measure(now=0.1)
    assert window.ahead == 0
