from __future__ import annotations

from feedplane_journal.layout import Position
from feedplane_writer.account import Account


def at(offset: int, segment: int = 1) -> Position:
    return Position(segment, offset, f"u{segment}")


def balanced(account: Account) -> bool:
    return all(
        row["journalled"] == row["written"] + row["quarantined"] + row["pending"] + row["lost"]
        for row in account.rows().values()
    )


def test_books_balance_at_every_step() -> None:
    account = Account()
    account.observe(at(10), {"trades": 7, "l1": 3})
    assert balanced(account)
    assert account.pending() == {"trades": 7, "l1": 3}

    account.settle({"trades": 4}, {"trades": 1}, {"trades": 4}, 99)
    assert balanced(account)
    assert account.rows()["trades"] == {"journalled": 7, "written": 4, "quarantined": 1, "lost": 0, "pending": 2}


def test_a_frame_is_counted_once_whoever_sees_it() -> None:
    account = Account()
    for end in (at(10), at(20), at(10), at(20), at(5, segment=2), at(20)):
        account.observe(end, {"trades": 1})

    assert account.pending() == {"trades": 3}


def test_totals_go_on_after_a_restart() -> None:
    account = Account()
    account.observe(at(10), {"trades": 7})
    account.settle({"trades": 5}, {"trades": 1}, {"trades": 5}, 42)
    again = Account(account.saved())
    again.observe(at(10), {"trades": 7})
    again.observe(at(20), {"trades": 1})

    assert again.rows()["trades"] == {"journalled": 8, "written": 5, "quarantined": 1, "lost": 0, "pending": 2}
    assert (again.newest_recv_ns, again.stored()) == (42, {"trades": 5})


def test_what_the_journal_dropped_unread_is_told_as_lost() -> None:
    account = Account()
    account.observe(at(10), {"trades": 7, "l1": 2})
    account.settle({"trades": 5, "l1": 2}, {}, {}, 0)

    assert account.write_off() == {"trades": 2}
    assert account.rows()["trades"]["lost"] == 2
    assert balanced(account)
    assert account.write_off() == {}
