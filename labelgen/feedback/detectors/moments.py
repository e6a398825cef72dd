"""Teachable moments: what users say once and expect an assistant to know from then on. A stated preference ("I always want window seats",
"call me Sam"), a fact corrected ("no, my brother lives in Leeds, not London"), and an explicit "remember that ...".

A small grammar of English clauses. The span is the statement with its adverbials, without what leads to it ("remember that", "no",
"by the way"), courtesy, and other sentences. A moment is no verdict: it judges no turn, and its vote is `fair`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import language_of

LANGUAGE = "en"
"""The language of the grammar."""


def _any(words: str, end: str = r"\b") -> str:
    """Any of these words."""
    return f"(?:{'|'.join(words.split())}){end}"


_BE = "(?:is|are|am|was|were|isn't|aren't|wasn't|weren't|'s|'re|'m)"
_AUXILIARY = (
    f"(?:{_BE}|has|have|had|hasn't|haven't|does|doesn't|don't|did|didn't|can|can't|cannot|will|won't|must|should)"
)
_STEMS = _any(
    "live work like love hate prefer need want eat drink come go goe leave arrive open close clos end start move mov belong take use drive play "
    "speak own wear sleep get run cost turn stay mean call start study studi begin finish expire park know sit teach land fly flie visit pay",
    "",
)
_ACTS = f"{_STEMS}(?:s|es|ed|d)"
_FINITE = rf"(?:{_AUXILIARY}|{_STEMS}(?:s|es|ed|d)?|\w+ed)\b"
_SOMEONE = r"(?:(?:my|our|his|her|their|the)|(?!(?:it|that|let|what|here|there)'s)[\w-]+'s) (?:[\w'-]+ ){1,6}?"
_NAME = (
    r"(?:(?:dr|mr|mrs|ms)\.? )?(?!(?:to|me|us|when|where|how|what|who|which|if|not|no|thanks?|please|just|only|all|any|some|a|an|the|that|this|these"
    rf"|those|there|something|maybe|but|while|since|with|like|one|sometimes|let's|that's|what's|it's|havent|i|we|he|she|it|they|you|{_AUXILIARY})\b)[\w-]+ (?:[\w-]+ )?"
)
_OPENERS = (
    r"(?:(?:hi|hey|hello|ok|okay|oh|well|um|uh|hmm?|so|and|but|also|great|cool|good|nice|perfect|thanks|thank you|alright|listen|look|yes|yeah|sure"
    r"|sorry|please|just|wait|alexa|siri|google|computer|(?:just )?(?:a )?heads up|just so you know|fyi|by the way|btw|because|since"
    r"|for your information)\b[,:!]* ?)*"
)
_ACTION = _any(
    "add ask book bring buy call cancel change check close delete dim fetch find fix get give go help let look lower make move open order pause "
    "pick play please put read recommend remind remove rent reserve schedule search send set show skip start stop suggest switch take tell text "
    "try turn update use wake write"
)
_REQUEST = rf"(?:{_ACTION}|can you|could you|would you|i'd like|i want|i need|do you|is there|are there|what|where|how|who|when)\b"
_CUT = re.compile(
    rf",? (?:so|and|but|then) (?:then )?(?={_REQUEST})"
    r"|,(?! (?:not|nor|(?:he|she|it|they|i|we)(?:'s|'re|'m| is| are| am| was| has| have)\b)| (?:[\w-]+,? ){1,3}(?:and|or) [\w-]+$)"
    rf"|[;:] |(?<!\bto)(?<!\byou)(?<!\bi)(?<!\bwe)(?<!\bthey)(?<!always)(?<!never)(?<!n't)(?<!ly)(?<!now on) {_ACTION} (?:me|us|my|the|a|an|it|all)\b"
    rf"| (?:please )?(?:can|could|would|will) (?:you|i|we)\b| please {_ACTION}| (?:what|where|how|who|which) (?:else|is|are|do|does|did|can|will|about)\b"
    r"|,? (?:please|thanks|thank you|okay|ok|by the way|btw|actually|right|though|you know)$"
)
"""Where a statement ends: another request, a comma that introduces no contrast or list, and courtesy."""
_SENTENCE = re.compile(r"(?:[^.!?\n]|(?<=\b[dm]r)\.|(?<=\bms)\.|(?<=\bmrs)\.|[.](?=\w))+[.!?]*")
_START = re.compile(
    rf"(?:^|(?<=[,;:] )|(?<=\bbut )|(?<=\band )|(?<=\bso )){_OPENERS}(?:you (?:can|may|should) (?=call me))?"
)
"""Where a clause may begin in a sentence."""

_LEAD = re.compile(
    rf"{_OPENERS}(?:(?:(?:can|could|will|would) you (?:please )?|i (?:want|need|would like) you to |let me tell you something to |let's )?(?:always )?"
    r"(?:remember|keep in mind|bear in mind|take note|(?:make|take) a note|note(?: down)?|don't (?:ever )?forget|do not forget|never forget|write down"
    r"|memorize|store|save|jot down|keep track of|be aware|for (?:the record|future reference))|you (?:should|need to|have to|ought to) know)\b"
    r"(?: (?:this|it))?(?: the fact)?(?: for (?:later|next time|the future|me))?(?: that|,|:)* "
)
_STATEMENT = re.compile(
    rf"(?!(?:i|we)(?:'d| would)? (?:want|need|like|am (?:very )?interested)\b)(?:(?:i|we|he|she|it|they|you)(?:'\w+)? \w|(?:{_SOMEONE}|{_NAME}){_FINITE})"
)
_DENIAL = re.compile(
    rf"(?!oh,? no\b){_OPENERS}(?:(?:no|nope|nah|wrong|incorrect|false|not (?:quite|exactly|true)|actually"
    r"|(?:that|this|it)(?:'s| is| was) (?:not (?:right|true|correct|quite right)|wrong|incorrect|false|outdated|out of date|old|(?:my|the) old [\w-]+)"
    r"|(?:i think )?you(?:'re| are) (?:wrong|mistaken)|you(?:'ve| have)? (?:got|have) (?:that|it|this) wrong|you made a mistake"
    rf"|(?:it|that|he|she|they) (?:isn't|doesn't|wasn't|didn't|aren't|is not)(?=[,.;]| (?:my|our|the|he|she|it)\b))\b(?P<mark>[,.!;:]*) ?{_OPENERS})+"
)
_MODAL = r"(?!.*\b(?:should|must|would|could|need|needed|want|looking|matter|will do|fine|okay|good|great|perfect|best|bad|funny)\b)"
_OURS = (
    r"(?:(?:i|we)(?:'m| am|'re| are)(?: not)? (?:an? |from |married|retired|single)|(?:i|we) (?:now |don't |no longer |only )?(?:lived?|work|worked|moved"
    r"|study|own|drive|changed (?!my mind)|retired|quit|married|have (?=\d|no |one |two |three |four |five |only )))"
)
_CORRECTION = re.compile(
    rf"{_MODAL}(?:{_OURS}|(?:he|she) ?(?:'s|is|isn't|has|{_ACTS})\b|{_SOMEONE}{_FINITE}|{_NAME}{_ACTS}\b|it(?:'s| is| was) (?!not\b)(?=.*\b(?:who|not)\b))"
)
_CORRECTION_BY_NAME = re.compile(rf"{_MODAL}{_NAME}(?:{_BE}|has)\b")
_CONTRAST = re.compile(
    rf"{_MODAL}(?:(?:{_OURS}|{_SOMEONE}{_FINITE}|{_NAME}(?:is|{_ACTS})\b|it(?:'s| is| was)(?=.* (?:who|that) )).*(?:, not |(?P<at> at | on | in | my | the ).* not(?P=at))"
    rf"(?:[\w'-]+ ){{0,2}}[\w-]+$|(?:that ?|{_SOMEONE}|{_NAME})(?:{_BE} not|isn't|aren't|wasn't|'s not) (?:[\w'-]+ ){{0,3}}[\w'-]+,? (?:he|she|it|they)(?:'s|'re| is| are) "
    rf"(?:[\w'-]+ ){{0,4}}[\w'-]+$|(?:{_SOMEONE}|{_NAME}){_BE} not my [\w'-]+(?=,? no$))"
)
_OBJECT = (
    r"(?!(?:it|that|this|these|those|them|him|her|you|your|one|the (?:one|same|first|second|third|last|idea|sound|look)|both|either|all of|any|none|how|what"
    rf"|where|when|search|to (?:{_ACTION}|search|see|have|know|only|also)|{_ACTION})\b)[\"\w]"
)
_TASTE = (
    r"(?:hate|love|adore|dislike|detest|like|enjoy|(?:can't|cannot) (?:stand|eat|drink)|(?:don't|do not) (?:really )?(?:like|enjoy|eat|drink|care for|want you to)"
    r"|(?:'m|am) (?:not |really |not really )?(?:allergic to|into|a (?:big |huge )?fan of))"
)
_PREFERENCE = re.compile(
    r"(?:i(?:'d|'ll)? (?:would )?(?:always|never|usually|normally|generally|typically) "
    r"(?!(?:wonder|said|heard|thought|knew|know|forget|been|mind|had|have|saw|seen|read|got|went|tried|did|\w+ed)\b)\w"
    r"|i (?:really )?only (?:ever )?(?:eat|drink|listen|watch|use|fly|buy|wear|drive|read|like|travel|speak)\b"
    rf"|i ?(?:(?:really|absolutely|also|just|do|especially|kind of) )*{_TASTE} (?:it when |{_OBJECT})"
    r"|i(?:'m| am) (?:a )?(?:vegan|vegetarian|diabetic|lactose intolerant|gluten free|left-handed|color ?blind)\b"
    r"|i(?:'m| am) (?:not |more of )?an? (?:[\w-]+ ){1,3}person\b"
    r"|i(?:'d| would) rather (?:not |(?=.*\b(?:always|in general|whenever)\b))"
    r"|my (?:all time )?favou?rite [\w' -]{2,40}? (?:is|are|has always been) \w"
    rf"|call me (?!(?:an?|the|at|back|when|whenever|in|on|if|later|tomorrow|tonight|after|before|by|with|for|to|up|once|again|maybe|every|now|as|from|please)\b)"
    r"(?:(?:dr|mr|mrs|ms)\.? )?[\w-]+(?: [\w-]+)?(?:,? (?:from now on|instead|not \w+))?(?=$|[,;.]| please| thanks| everybody| and)"
    r"|i go by (?!(?:bus|car|train|foot|plane|bike|the|my|what)\b)\w|(?:from now on|in (?:the )?future|going forward)\b"
    rf"|(?:you should )?(?:always|never|don't ever|do not ever) (?:again )?{_ACTION}|you should (?:always|never) \w"
    r"|(?:(?:whenever|every time) [\w' ]+?|when i [\w' ]+),? i (?!said|meant)\w+)"
)
_CHOICE = re.compile(r"i (?:really |much )?prefer (?!(?:an?|the|it|that|this|to|something|if|any|one|not)\b)\w")
"""A preference, unless it answers a question of the assistant."""


@dataclass(frozen=True, slots=True)
class TeachableMoment:
    """A statement in a request: its kind (a detector of this module) and its span in code points."""

    kind: str
    start: int
    end: int


@lru_cache(maxsize=4096)
def moments(request: str, response: str | None = "") -> tuple[TeachableMoment, ...]:
    """The teachable moments of a request, at most one for each sentence. response: that before it, which it may correct; None at first."""
    text = "".join(c.lower() if len(c.lower()) == 1 else c for c in request.replace("’", "'"))
    text = re.sub(r"[^\S\n]", " ", text)
    places: list[TeachableMoment] = []
    denied = False
    for sentence in _SENTENCE.finditer(text):
        body = sentence.group().strip(' .!?"')
        start = sentence.start() + sentence.group().find(body)
        denial = _DENIAL.match(body)
        place = _remembered(body)
        kind = "remember"
        if place is None and response is not None:
            kind, place = "fact", _corrected(body, denial, denied)
        if place is None:
            kind, place = "preference", _preferred(body, response or "")
        denied = denial is not None and denial.end() >= len(body)
        if place is None:
            continue
        stop = start + place[1]
        while cut := _CUT.search(text[:stop], start + place[0] + 1):
            stop = cut.start()
        # A statement that goes on to the question mark is a question.
        if kind == "remember" or stop < start + len(body) or not sentence.group().endswith("?"):
            places.append(TeachableMoment(kind, start + place[0], stop))
    return tuple(places)


def _remembered(body: str) -> tuple[int, int] | None:
    lead = _LEAD.match(body)
    return (lead.end(), len(body)) if lead and _STATEMENT.match(body, lead.end()) else None


def _corrected(body: str, denial: re.Match[str] | None, denied: bool) -> tuple[int, int] | None:
    start = denial.end() if denial else 0
    certain = denied or (denial is not None and (denial["mark"] or " " in denial.group().strip()))
    if ((denial or denied) and _CORRECTION.match(body, start)) or (certain and _CORRECTION_BY_NAME.match(body, start)):
        return start, len(body)
    contrasts = (_CONTRAST.match(body, opening.end()) for opening in _START.finditer(body))
    return next((match.span() for match in contrasts if match), None)


def _preferred(body: str, response: str) -> tuple[int, int] | None:
    patterns = (_PREFERENCE,) if "?" in response else (_PREFERENCE, _CHOICE)
    for opening in _START.finditer(body):
        if any(pattern.match(body, opening.end()) for pattern in patterns):
            return opening.end(), len(body)
    return None


@dataclass(frozen=True, slots=True)
class MomentDetector:
    """The detector of one kind of teachable moments."""

    kind: str
    EVIDENCE = ("request",)

    def detect(self, dialogue: Dialogue) -> Iterator[Signal]:
        """Reads a request in English. The signal judges no turn; `span` is the place of the statement in the request of its evidence."""
        if language_of(dialogue.locale) == LANGUAGE:
            responses = (None, *(turn.response for turn in dialogue.turns))
            for t, turn in enumerate(dialogue.turns):
                for moment in moments(turn.request, responses[t]):
                    if moment.kind == self.kind:
                        span = moment.start, moment.end
                        yield Signal(kind=self.kind, turns=(), vote="fair", evidence=(t,), span=span)

    def detect_all(self, dialogues: Sequence[Dialogue]) -> list[list[Signal]]:
        """The signals of each dialogue. The grammar takes longer than all other detectors of words, and no label needs it."""
        return [list(self.detect(dialogue)) for dialogue in dialogues]

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Never: a moment judges no turn."""
        return False


PREFERENCE, FACT, REMEMBER = map(MomentDetector, ("preference", "fact", "remember"))
