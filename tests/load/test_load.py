"""Many visitors at once: each sees what they would see alone, byte for byte, is told their place while they wait, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from space import limits
from tests.load.visitors import Visitor, at_rest, measure, page, together

USERS, ROUNDS = 4, 2


def test_visitors_at_once_see_what_each_would_see_alone(tmp_path: Path) -> None:
    with page(tmp_path) as url:
        visitors = [Visitor(url, number, tmp_path) for number in range(USERS)]
        alone = [visitor.round()[0] for visitor in visitors]
        assert len({str(shown) for shown in alone}) == USERS  # or a mix-up could not be seen
        together(visitors, alone, lambda done: done < 1)  # what works at once takes more memory than what works alone, for good
        before = at_rest(tmp_path)
        load = together(visitors, alone, lambda done: done < ROUNDS)
        after = at_rest(tmp_path)
    print(load.summary(), before, after)
    assert load.errors == [] and load.rounds == USERS * ROUNDS and load.different == []
    assert load.place > 0  # two edits at a time: somebody waited, and was told their place
    # Each has drawn a face alone, one to warm up and one in each round; the earlier ones can be gone back to.
    assert after["sessions"] == USERS * (2 + ROUNDS) and after["visitors"] == USERS and after["jobs"] == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert after["rss"] < 1.15 * before["rss"]  # so few rounds still warm up


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.timeout(3600)
def test_eight_visitors_for_ten_minutes(tmp_path: Path) -> None:
    found = measure("tiny", 1.0, [1, 2, 4], tmp_path)["loads"]
    long = measure("tiny", 10.0, [8], tmp_path)
    for load in (*found, *long["loads"]):
        print(load)
        assert load["errors"] == [] and load["different"] == [] and load["rounds"] > load["users"]
    before, after = long["before"], long["after"]
    print(before, after)
    assert after["rss"] < 1.05 * before["rss"] and after["sessions"] == 8 * (1 + limits.EARLIER) and after["jobs"] == 0
    assert after["threads"] <= before["threads"] + 8
