"""The rival of mined rewrites that has the same tests."""

from benchmarks.rewrites import most_frequent_accepted
from labelgen.requests.rewrites import Walks


def test_most_frequent_next_request_is_taken_only_where_it_is_served_certainly_more_often():
    walks = Walks()
    for user in range(40):
        walks.add(f"u{user}", [("broken", 0.05), ("works", 0.95)])
        walks.add(f"u{user}", [("fine", 0.9), ("also fine", 0.9)])
    for user in range(4):
        walks.add(f"u{user}", [("rare", 0.05), ("works", 0.95)])
    assert most_frequent_accepted(walks) == {"broken": "works"}
