"""The corpora that can be read: one file and one line each."""

READERS = {
    "labelgen": "labelgen.data.readers.own:READER",
    "chat": "labelgen.data.readers.chat:READER",
    "csv_turns": "labelgen.data.readers.csv_turns:READER",
    "sgd": "labelgen.data.readers.sgd:READER",
    "star": "labelgen.data.readers.star:READER",
    "getgoing": "labelgen.data.readers.getgoing:READER",
    "betold": "labelgen.data.readers.betold:READER",
    "segments": "labelgen.data.readers.segments:READER",
    "uss": "labelgen.data.readers.uss:READER",
    "snips": "labelgen.data.readers.snips:READER",
    "slurp": "labelgen.data.readers.slurp:READER",
    "multiwoz": "labelgen.data.readers.multiwoz:READER",
    "dbdc3": "labelgen.data.readers.dbdc3:READER",
    "abredial": "labelgen.data.readers.abredial:READER",
    "stc3": "labelgen.data.readers.stc3:READER",
    "dstc10": "labelgen.data.readers.dstc10:READER",
    "multidogo": "labelgen.data.readers.multidogo:READER",
}
