"""The words that fill slots: songs, artists, cities, rooms, groceries, durations and the like.

Songs and artists are composed from word lists and belong to nobody on purpose; a log of a few thousand dialogues
meets only a part of them, so that held-out dialogues hold titles that training has not seen."""

from collections.abc import Callable
from random import Random


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def listed(text: str) -> tuple[str, ...]:
    """Names between bars, each on one line."""
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
"""slot name -> everything that can fill it."""

SHOWN_AS: dict[str, Callable[[str], str]] = {"song": str.title, "artist": str.title, "place": str.title}
"""How the assistant writes an entity; others as they are."""

SINGER_OF = {song: ARTISTS[(7 * k) % len(ARTISTS)] for k, song in enumerate(SONGS)}


def another(slot: str, than: str, rng: Random) -> str:
    """A different entity for the slot, rather one that shares a word with `than`, as catalogs confuse them."""
    parts = set(than.split())
    everything = ENTITIES[slot]
    for _ in range(4):
        found = everything[int(rng.random() * len(everything))]
        if found != than and parts & set(found.split()):
            return found
    while True:
        found = everything[int(rng.random() * len(everything))]
        if found != than:
            return found
