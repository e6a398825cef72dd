"""Vocabulary of the grammar's language: intents, slots, entities, and phrases of users.

Songs and artists are composed from word lists on purpose and belong to nobody. A log of a few thousand dialogues contains only a
part of them, so held-out dialogues contain titles that are not in the training data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from labelgen.simulator.grammar import Template, template


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def listed(text: str) -> tuple[str, ...]:
    """Names separated by `|`; line breaks are ignored."""
    return tuple(text.replace("\n", "").split("|"))


_MOODS = words("""purple golden silent broken electric lonely crimson hollow velvet neon distant frozen burning paper
silver midnight restless tender wild sleepy crystal faded hidden lucky bitter gentle rolling endless stolen
secret shallow stormy sunday monday northern southern second final summer winter""")
_THINGS = words("""haze river mirror highway garden thunder letter ocean shadow lantern window station harbor meadow
engine feather valley whisper ladder island motel circus carousel satellite pony cathedral signal umbrella
orchard compass balloon bicycle telephone tiger sparrow mountain avenue kingdom""")
_FIRST = words("""nina marcus lena oscar ruby felix clara hugo iris jasper mona theo vera silas greta elliot paula
dexter wanda rufus olive bruno stella conrad ida louis edith milo nora otto""")
_LAST = words("""hartley monroe vance delgado whitfield okafor lindqvist marsh calloway reyes abbott novak sterling
kimura foster beaumont castellan drake ellery fontaine grady holloway ingram jarvis""")
_BANDS = words("""foxes lanterns strangers pilots cowboys astronauts gardeners neighbors wolves sailors librarians
drifters magnets mechanics swallows tailors""")

SONGS = tuple(f"{mood} {thing}" for mood in _MOODS for thing in _THINGS)
ARTISTS = tuple(f"{first} {last}" for first in _FIRST for last in _LAST) + tuple(
    f"the {mood} {band}" for mood in _MOODS[:20] for band in _BANDS
)
GENRES = listed("""jazz|blues|rock|classical|hip hop|country|reggae|techno|folk|soul|disco|ambient|salsa|punk|metal|opera|funk|
gospel|bossa nova|swing|lullabies|piano music|eighties pop|movie soundtracks|lo-fi beats|acoustic guitar|
christmas songs|dance music|house|grunge|bluegrass|flamenco""")
PLACES = listed("""oslo|paris|london|berlin|madrid|rome|lisbon|vienna|prague|warsaw|athens|dublin|helsinki|stockholm|copenhagen|
brussels|amsterdam|budapest|zurich|geneva|milan|naples|munich|hamburg|boston|chicago|denver|seattle|portland|
austin|dallas|houston|miami|atlanta|phoenix|detroit|memphis|nashville|new york|los angeles|san francisco|
san diego|las vegas|new orleans|salt lake city|kansas city|toronto|montreal|vancouver|ottawa|calgary|mexico city|
havana|lima|bogota|santiago|buenos aires|sao paulo|cairo|nairobi|lagos|accra|cape town|casablanca|istanbul|
tel aviv|dubai|mumbai|delhi|bangkok|hanoi|singapore|jakarta|manila|hong kong|taipei|seoul|tokyo|osaka|kyoto|
sydney|melbourne|perth|auckland|wellington|edinburgh|glasgow|liverpool|manchester|oxford|bristol|cardiff|
reykjavik|krakow|porto|seville|valencia|marseille|lyon|bordeaux""")
ROOMS = listed("""kitchen|bedroom|bathroom|living room|hallway|office|basement|garage|attic|dining room|nursery|guest room|
playroom|laundry room|porch|garden|study|library|entrance|balcony|workshop|pantry""")
ITEMS = listed("""milk|eggs|bread|butter|cheese|yogurt|apples|bananas|oranges|lemons|grapes|strawberries|tomatoes|potatoes|
onions|carrots|garlic|spinach|lettuce|cucumbers|peppers|mushrooms|broccoli|avocados|rice|pasta|flour|sugar|salt|
olive oil|vinegar|honey|peanut butter|jam|coffee|tea|orange juice|sparkling water|chicken|ground beef|salmon|
tuna|bacon|tofu|chickpeas|lentils|black beans|oatmeal|cereal|crackers|chocolate|ice cream|cookies|popcorn|
toilet paper|paper towels|dish soap|laundry detergent|shampoo|toothpaste|batteries|light bulbs|trash bags|
dog food|cat litter|diapers|birthday candles|napkins|tortillas|salsa|hummus|almonds|walnuts|raisins|cinnamon|
basil|ginger|soy sauce|maple syrup|cream cheese|sour cream""")
TOPICS = listed("""sports|politics|technology|science|business|health|the economy|football|tennis|the elections|climate|space|
movies|education|local news|world news|the stock market|travel|cars|basketball|energy|art|medicine|the traffic""")
TIMER_NAMES = listed("""pasta|pizza|laundry|tea|eggs|cookies|homework|nap|rice|bread|workout|dryer|chicken|potatoes|meditation|meeting|
cake|soup|parking|piano practice|reading|stretching|oven|dumplings""")
DATES = listed("""today|tomorrow|tonight|this weekend|next week|monday|tuesday|wednesday|thursday|friday|saturday|sunday|
this afternoon|this evening|tomorrow morning|tomorrow night|the day after tomorrow|next monday|next friday""")
_COUNTS = words("two three four five six seven eight nine ten twelve fifteen twenty thirty forty fifty sixty ninety")
_PACKS = listed("bottles of|packs of|bags of|boxes of|cans of|pounds of")
DURATIONS = (
    *(f"{count} {unit}" for count in _COUNTS for unit in ("minutes", "seconds")),
    *(f"{count} hours" for count in _COUNTS[:6]),
    *("one minute", "an hour", "half an hour", "an hour and a half", "a quarter of an hour", "two and a half minutes"),
)
QUANTITIES = (*_COUNTS[:9], *(f"{count} {pack}" for count in _COUNTS[:5] for pack in _PACKS), "a dozen", "some more")
LEVELS = (
    *(f"{count} percent" for count in ("ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty")),
    *("three", "four", "five", "six", "seven", "eight", "half", "maximum", "the lowest setting"),
)

ENTITIES: dict[str, tuple[str, ...]] = {
    "song": SONGS,
    "artist": ARTISTS,
    "genre": GENRES,
    "level": LEVELS,
    "duration": DURATIONS,
    "timer_name": TIMER_NAMES,
    "place": PLACES,
    "date": DATES,
    "room": ROOMS,
    "item": ITEMS,
    "quantity": QUANTITIES,
    "topic": TOPICS,
}
"""slot name -> all its entities."""

SHOWN_AS: dict[str, Callable[[str], str]] = {"song": str.title, "artist": str.title, "place": str.title}
"""How the assistant spells the entities of a slot; others stay as they are."""

SINGER_OF = {song: ARTISTS[(7 * k) % len(ARTISTS)] for k, song in enumerate(SONGS)}


def another(slot: str, than: str, rng: Random) -> str:
    """Another entity of the slot, preferably one that shares a word with `than`, as in catalog confusions."""
    parts = set(than.split())
    everything = ENTITIES[slot]
    for _ in range(4):
        chosen = everything[int(rng.random() * len(everything))]
        if chosen != than and parts & set(chosen.split()):
            return chosen
    while True:
        chosen = everything[int(rng.random() * len(everything))]
        if chosen != than:
            return chosen


@dataclass(frozen=True, slots=True)
class Meanings:
    """Intents and slots of a world. others: intent -> intents that it is confused with, by the assistant and by annotators."""

    intents: tuple[str, ...]
    slots: tuple[str, ...]
    others: Mapping[str, tuple[str, ...]]


INTENTS: dict[str, str] = {
    "play_music": "play a song, an artist, a genre or just music",
    "pause_music": "pause the music that is playing",
    "next_song": "skip to the next song",
    "set_volume": "make the sound louder or quieter",
    "set_timer": "start a timer or change its duration",
    "cancel_timer": "delete a timer",
    "check_timer": "ask how much time is left on a timer",
    "get_weather": "ask for the weather at a place or a time",
    "lights_on": "turn lights on",
    "lights_off": "turn lights off",
    "dim_lights": "set how bright the lights are",
    "add_to_list": "put something on the shopping list",
    "remove_from_list": "take something off the shopping list",
    "check_list": "ask what is on the shopping list",
    "get_news": "ask for news",
    "stop": "stop what the assistant does, or give up",
}
SLOTS: dict[str, str] = {
    "song": "title of a song",
    "artist": "name of a musician or a band",
    "genre": "kind of music",
    "level": "how loud or how bright",
    "duration": "how long a timer runs",
    "timer_name": "what a timer is called",
    "place": "city of the weather",
    "date": "day or time of the weather",
    "room": "room of the house",
    "item": "thing on the shopping list",
    "quantity": "how much of a thing",
    "topic": "what the news are about",
}
GIVING_UP = "stop"
DOMAIN_OF: dict[str, str] = {
    **dict.fromkeys(("play_music", "pause_music", "next_song", "set_volume"), "music"),
    **dict.fromkeys(("set_timer", "cancel_timer", "check_timer"), "timers"),
    "get_weather": "weather",
    **dict.fromkeys(("lights_on", "lights_off", "dim_lights"), "lights"),
    **dict.fromkeys(("add_to_list", "remove_from_list", "check_list"), "shopping"),
    "get_news": "news",
    "stop": "system",
}
LIKELY_OTHERS: dict[str, tuple[str, ...]] = {
    "play_music": ("next_song", "set_volume", "get_news"),
    "pause_music": ("stop", "next_song"),
    "next_song": ("play_music", "pause_music"),
    "set_volume": ("dim_lights", "play_music"),
    "set_timer": ("check_timer", "cancel_timer"),
    "cancel_timer": ("check_timer", "stop"),
    "check_timer": ("set_timer", "check_list"),
    "get_weather": ("get_news", "check_timer"),
    "lights_on": ("lights_off", "dim_lights"),
    "lights_off": ("lights_on", "dim_lights"),
    "dim_lights": ("set_volume", "lights_on"),
    "add_to_list": ("check_list", "remove_from_list"),
    "remove_from_list": ("add_to_list", "check_list"),
    "check_list": ("add_to_list", "check_timer"),
    "get_news": ("get_weather", "play_music"),
    "stop": ("pause_music", "cancel_timer"),
}
"""intent -> intents that it is confused with, by the assistant and by annotators."""

GRAMMAR_MEANINGS = Meanings(tuple(INTENTS), tuple(SLOTS), LIKELY_OTHERS)
"""Intents and slots of the grammar's language."""


Manner = Literal["full", "follow"]
"""full: a request that can be understood alone. follow: one that needs context, such as "and tomorrow"."""

_PHRASES: dict[str, dict[Manner, str]] = {
    "play_music": {
        "full": """
            (play|put on|start playing|i want to hear|let me hear|can we listen to) (the song|) {song}
            (play|put on|start|i'd like to hear) (the song|the track|) {song} by {artist}
            (play|put on|i want to hear) (something|some songs|a track|the latest album|anything) (by|from) {artist}
            (play|put on|shuffle) {artist}
            (play|put on|start) (some|a little|a bit of) {genre}
            i'm in the mood for {genre}
            (play|put on) (some|) {genre} in the {room}
            (play|put on|start) (some music|something nice|my music|a song|my playlist)""",
        "follow": """
            (actually|no wait|hmm|rather) {genre}
            (make it|and now|how about some) {genre}
            (and|now|then|how about) something (by|from) {artist}
            (and now|and then|next) {song}""",
    },
    "pause_music": {
        "full": """
            (pause|pause the music|pause that|hold the music)
            (stop|turn off) the (music|song|playlist)
            (quiet|silence) please
            (pause|stop) the music in the {room}""",
    },
    "next_song": {
        "full": """
            (next|skip|next song|next one|next track|skip this|skip this one|skip this song)
            (i don't like|i hate|not in the mood for) this (song|one)
            (play|go to) the next (song|one|track)
            (another|a different) (song|one)""",
    },
    "set_volume": {
        "full": """
            (set|turn|put|change) the volume to {level}
            volume (at|to|on|) {level}
            (turn it|turn the music|turn that|make it) (up|down|louder|quieter|way up|way down) (a bit|a little|)
            (louder|quieter|too loud|too quiet|i can't hear it|a bit louder|a bit quieter)
            (turn|make) the volume (up|down)""",
        "follow": """
            (make it|make that|actually|no|rather) {level}
            (a bit|a little|even|still) (more|less)""",
    },
    "set_timer": {
        "full": """
            (set|start|give me|put on) a timer for {duration}
            (set|start|give me) a {duration} timer
            (timer|countdown) {duration}
            (remind|alert|tell) me in {duration}
            (wake|call) me in {duration}
            (set|start) a {timer_name} timer for {duration}
            (set|start) a timer for {duration} called {timer_name}
            (set|start) {duration} for the {timer_name}
            (set|start|i need) a timer
            (start|set) a {timer_name} timer""",
        "follow": """
            (make it|make that|actually|change it to|change that to|no wait) {duration}
            (and|also) (another one|another|one more) for {duration}
            (add|and add) {duration} (to it|to that)
            {duration} (rather|instead)""",
    },
    "cancel_timer": {
        "full": """
            (cancel|delete|stop|kill|remove) (the timer|my timer|that timer|all timers)
            (cancel|delete|stop|kill|end) the {timer_name} timer
            i don't need (the timer|that timer) (anymore|any longer)""",
        "follow": """
            (cancel|delete|drop) (it|that|that one) (again|)""",
    },
    "check_timer": {
        "full": """
            how (much time is|long is|many minutes are) left (on the timer|on my timer|)
            (check|what about) (the timer|my timer|my timers)
            how long (until|till) the timer (goes off|rings|is up)
            how (much time|long) (is left|) on the {timer_name} timer
            when is the {timer_name} timer (done|up|over)""",
        "follow": """
            (how long now|how much is left|and now|how much longer)""",
    },
    "get_weather": {
        "full": """
            (what's|what is|how's|how is|tell me|check) the (weather|weather like|forecast)
            (will it|is it going to|is it gonna) (rain|snow|be sunny|be warm|be cold)
            (what's|how's|tell me|give me) the (weather|forecast|temperature) (in|for) {place}
            (is it|will it be) (cold|warm|raining|sunny|windy|hot) in {place}
            (what's|how's) the (weather|forecast) (for|) {date}
            (will it|is it going to|is it gonna) (rain|snow|be sunny|be warm|be cold) {date}
            do i need (an umbrella|a coat|a jacket|sunglasses) {date}
            (what's|how's|tell me) the (weather|forecast|temperature) (in|for) {place} {date}
            (will it|is it going to) (rain|snow|be sunny|be warm) (in|over in) {place} {date}""",
        "follow": """
            (and|what about|how about|and what about) {date}
            (and|what about|how about|and what about) in {place}
            (and|what about|how about) {place}
            (what about|and) {place} {date}""",
    },
    "lights_on": {
        "full": """
            (turn|switch|put) on the (lights|light) in the {room}
            (turn|switch) the {room} (lights|light|lamp) on
            (turn|switch) on the {room} (lights|light|lamp)
            {room} (lights|light) on
            (light up|i need light in|it's too dark in) the {room}
            (turn|switch) (on the lights|the lights on|the light on|on the lamp)
            (lights on|it's dark in here|i need some light)""",
        "follow": """
            (same|same thing|do the same) (in|for) the {room}
            (and|also|now) the {room} (too|as well|)
            the {room} (too|as well)""",
    },
    "lights_off": {
        "full": """
            (turn|switch) off the (lights|light) in the {room}
            (turn|switch) the {room} (lights|light|lamp) off
            (turn|switch) off the {room} (lights|light|lamp)
            {room} (lights|light) (off|out)
            (kill|cut) the lights in the {room}
            (turn|switch) (off the lights|the lights off|all the lights off|off the lamp)
            (lights out|lights off|make it dark)""",
        "follow": """
            (same|same thing|do the same) (in|for) the {room}
            (and|also|now) the {room} (too|as well|)
            the {room} (too|as well)
            (off again|turn it off again|and off again|turn them off again)""",
    },
    "dim_lights": {
        "full": """
            (dim|set|put|turn) the {room} (lights|light|lamp) to {level}
            (dim|set|bring) the lights in the {room} to {level}
            {level} (brightness|light) in the {room}
            (dim|brighten|lower) the (lights|light|lamp) in the {room}
            (dim|set|bring) the lights to {level}
            (brightness|lights) (at|to) {level}""",
        "follow": """
            (make it|make that|actually|no|rather) {level}
            (same|same thing|do the same) (in|for) the {room}
            (a bit|a little|even|still) (darker|brighter)""",
    },
    "add_to_list": {
        "full": """
            (add|put) {item} (to|on) (my|the) (shopping|grocery|) list
            (add|put) {item} and {item} (to|on) (my|the) (shopping|grocery|) list
            (add|put) {quantity} {item} (to|on) (my|the) (shopping|grocery|) list
            (we need|i need to buy|we're out of|we ran out of|remind me to buy) {item}
            (we need|i need to buy|get|we need to get) {quantity} {item}
            (we need|we're out of|i need to buy) {item} and {item}""",
        "follow": """
            (and|also|and also|plus|oh and) {item} (too|)
            (and|also|plus|oh and) {quantity} {item} (too|)
            (and|also|plus) {item} and {item}
            (make it|make that|actually) {quantity}""",
    },
    "remove_from_list": {
        "full": """
            (remove|delete|take|cross) {item} (from|off) (my|the) (shopping|grocery|) list
            (we don't need|i already have|i already bought|i got the|forget the) {item}""",
        "follow": """
            (take|drop|cross) (that|it|that one) off (again|)
            (not the|without the|no) {item}""",
    },
    "check_list": {
        "full": """
            (what's|what is|read me what's) on (my|the) (shopping|grocery|) list
            (read|check|tell me|show me) (my|the) (shopping|grocery|) list
            (what do i need|what do we need|what did i want) (to buy|to get|from the store)
            (is|do i have|did i put) {item} on (my|the) (shopping|grocery|) list""",
        "follow": """
            (what else|what else is there|is that all|read it back)
            (and|what about|how about) {item}""",
    },
    "get_news": {
        "full": """
            (what's|what is) (the news|new|happening|in the news)
            (play|read|tell|give) me the (news|headlines|latest news)
            (what's|what is) (new|the latest|happening) (in|with|on) {topic}
            (give me|tell me|read me|any) (the news|news|headlines|the latest) (on|about) {topic}""",
        "follow": """
            (and|what about|how about|anything on|and what about) {topic}
            (more|tell me more|go on|and what else)""",
    },
    "stop": {
        "full": """
            (stop|stop it|stop stop|enough|okay stop|be quiet)
            (never mind|forget it|forget about it|drop it|leave it)
            (ugh never mind|whatever|oh forget it|okay forget it)""",
    },
    "play_music+set_volume": {
        "full": """
            (play|put on) {artist} (at|on) volume {level}
            (play|put on) (some|) {genre} and (set|turn) the volume to {level}
            (play|put on) {song} but (quietly|loud|not so loud)""",
    },
    "lights_off+lights_on": {
        "full": """
            (turn|switch) off the {room} (lights|light) and (turn|switch) on the {room} (lights|light|)
            lights off in the {room} and on in the {room}""",
    },
    "add_to_list+remove_from_list": {
        "full": """
            (add|put) {item} on the list and (take|cross) {item} off
            (we need|add) {item} instead of {item}""",
    },
}
"""intents joined by "+" -> manner -> one template a line."""

CORRECTIONS: dict[str, str] = {
    "song": "(no|no no|not that) (i said|i meant|play|) {song}\n(i said|i meant) {song}",
    "artist": "(no|not that one) (i said|i meant|the one by|by) {artist}\n(i said|i meant) {artist}",
    "genre": "(no|not that) (i said|i meant|i wanted|) {genre}",
    "level": "(no|not that) (i said|to|make it|) {level}\n(i said|i meant) {level}",
    "duration": "(no|no no) (i said|i meant|for|) {duration}\n(i said|not that i said) {duration}",
    "timer_name": "(no|no no) (the|i meant the) {timer_name} (one|timer)",
    "place": "(no|not there) (i said|i meant|in|) {place}\n(i said|i meant) {place}",
    "date": "(no|no no) (i said|i meant|for|) {date}\n(i said|i meant) {date}",
    "room": "(no|no no|not there) (the|i said the|i meant the|in the) {room} (one|lights|)\nnot that one the {room}",
    "item": "(no|not that) (i said|i meant|) {item}\n(i said|i meant) {item}",
    "quantity": "(no|no no) (i said|make it|) {quantity}",
    "topic": "(no|not that) (i said|i meant|about|) {topic}",
}
"""slot -> phrases that correct only this slot."""

ANSWERS: dict[str, str] = {
    "duration": "{duration}\n(for|make it|about) {duration}\n{duration} please",
    "room": "{room}\n(the|in the|for the) {room}\nthe {room} please",
    "item": "{item}\n{item} please",
}
"""slot -> phrases that answer a question for this slot."""

THANKS = "(thanks|thank you|great thanks|perfect|awesome|cool thank you|thanks a lot|nice|perfect thank you)"
YES = "(yes|yeah|yep|yes it did|yes thanks|sure|yes thank you|that's right)"
NO = "(no|nope|not really|no it didn't|no that's wrong|not at all|no you didn't)"
COMPLAINTS = """(no|no no|wrong|that's wrong|that's not what i said|that's not what i asked|listen)
(that didn't work|nothing happened|it's not working|try again)"""
OPENERS = "(hey|um|uh|okay|okay now|alright|so|well)"
ASKING_OPENERS = "(please|can you|could you|would you|could you please|hey can you|i want you to|)"
CLOSERS = "(please|now|real quick|thanks|)"
ORDERS = frozenset(
    words(
        """play put start shuffle pause hold stop skip go set turn make give remind alert tell wake call cancel delete kill
        remove check switch dim bring brighten lower add get take cross read show change light"""
    )
)
"""First words of requests that may follow "could you"."""

Key = tuple[str, Manner]
TABLE: Mapping[Key, Mapping[tuple[str, ...], tuple[Template, ...]]]
"""(intents joined by "+", manner) -> sorted slots of a template -> templates."""


def lines(text: str) -> tuple[Template, ...]:
    """Parse templates, one a line."""
    return tuple(template(line.strip()) for line in text.strip().splitlines())


def _by_slots(templates: tuple[Template, ...]) -> dict[tuple[str, ...], tuple[Template, ...]]:
    groups: dict[tuple[str, ...], tuple[Template, ...]] = {}
    for one in templates:
        key = tuple(sorted(one.slots))
        groups[key] = (*groups.get(key, ()), one)
    return groups


TABLE = {
    (intents, manner): _by_slots(lines(text))
    for intents, manners in _PHRASES.items()
    for manner, text in manners.items()
}


def pick(templates: tuple[Template, ...], rng: Random) -> Template:
    return templates[int(rng.random() * len(templates))]
