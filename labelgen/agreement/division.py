"""The division of a dialogue into goals that several annotators' divisions have most in common.

Two turns are linked by every annotator who has them serve one goal. The consensus is the division whose pairs agree with
the most links and missing links, so it is always made of goals that share no turn, also where the votes on pairs
contradict each other (a with b, b with c, not a with c). Found by moving one turn or joining two goals at a time, from
turns alone and from each annotator's division. Source: median partition, Barthelemy and Leclerc 1995, "The Median
Procedure for Partitions"; one-element moves, Filkov and Skiena 2004, "Integrating Microarray Data by Consensus
Clustering"."""

from collections.abc import Callable, Sequence

Goal = tuple[int, ...]
Gain = Callable[[int, Sequence[int]], int]


def divide(divisions: Sequence[Sequence[Goal]]) -> list[tuple[Goal, float]] | None:
    """Goals, by first turn, each with its share of votes; None for a tie.

    A turn serves a goal where more than half of the annotators say so; exactly half is a tie. A division is a tie too
    where some turn could as well stand in another goal or alone, or two goals could as well be one. The share of a goal
    is the mean over its pairs of turns of the annotators who link them; of a goal of one turn, the share who have that
    turn serve a goal."""
    voters = len(divisions)
    links: dict[tuple[int, int], int] = {}
    serving: dict[int, int] = {}
    for goals in divisions:
        for goal in goals:
            for k, turn in enumerate(goal):
                serving[turn] = serving.get(turn, 0) + 1
                for earlier in goal[:k]:
                    links[earlier, turn] = links.get((earlier, turn), 0) + 1
    if any(2 * votes == voters for votes in serving.values()):
        return None
    turns = sorted(turn for turn, votes in serving.items() if 2 * votes > voters)

    def gain(turn: int, goal: Sequence[int]) -> int:
        """Votes won, less votes lost, by having the turn in this goal in place of alone."""
        return sum(2 * links.get((min(turn, o), max(turn, o)), 0) - voters for o in goal if o != turn)

    starts = [[], *([[t for t in goal if t in turns] for goal in goals] for goals in divisions)]
    settled = [_settle(turns, [goal for goal in start if goal], gain) for start in starts]
    votes = [sum(gain(turn, goal) for goal in goals for turn in goal) for goals in settled]
    found = {
        tuple(sorted(tuple(sorted(goal)) for goal in goals))
        for goals, v in zip(settled, votes, strict=True)
        if v == max(votes)
    }
    if len(found) > 1 or any(_tied(turns, goals, gain) for goals in found):
        return None
    return [(goal, _share(goal, links, serving, voters)) for goal in found.pop()]


def _settle(turns: Sequence[int], goals: list[list[int]], gain: Gain) -> list[list[int]]:
    """Moves single turns, then joins whole goals, as long as either wins votes."""
    while _move(turns, goals, gain) or _join(goals, gain):
        pass
    return goals


def _move(turns: Sequence[int], goals: list[list[int]], gain: Gain) -> bool:
    moved = False
    for turn in turns:
        home = next((goal for goal in goals if turn in goal), [])
        gains = [gain(turn, goal) for goal in goals]
        most = max(gains, default=0)
        if home and gain(turn, home) >= max(0, most):
            continue
        moved = True
        target = goals[gains.index(most)] if most > 0 else []
        if turn in home:
            home.remove(turn)
        if not target:
            goals.append(target)
        target.append(turn)
        if home == []:
            goals[:] = [goal for goal in goals if goal]
    return moved


def _join(goals: list[list[int]], gain: Gain) -> bool:
    for k, goal in enumerate(goals):
        for other in goals[:k]:
            if sum(gain(turn, other) for turn in goal) > 0:
                other += goal
                goals.remove(goal)
                return True
    return False


def _tied(turns: Sequence[int], goals: Sequence[Sequence[int]], gain: Gain) -> bool:
    for turn in turns:
        home = next(goal for goal in goals if turn in goal)
        now = gain(turn, home)
        if len(home) > 1 and now == 0:
            return True
        if any(gain(turn, goal) == now for goal in goals if goal is not home):
            return True
    pairs = ((goal, other) for k, goal in enumerate(goals) for other in goals[:k])
    return any(sum(gain(turn, other) for turn in goal) == 0 for goal, other in pairs)


def _share(goal: Sequence[int], links: dict[tuple[int, int], int], serving: dict[int, int], voters: int) -> float:
    if len(goal) == 1:
        return serving[goal[0]] / voters
    pairs = [(a, b) for k, b in enumerate(goal) for a in goal[:k]]
    return sum(links.get(pair, 0) for pair in pairs) / len(pairs) / voters
