"""Registry of the tasks of a model: one file and one line each."""

from labelgen.base.registry import Registry

TASKS = Registry(
    "labelgen.tasks",
    {
        "goals": "labelgen.tasks.goals:Goals",
        "outcome": "labelgen.tasks.outcome:Outcome",
        "quality": "labelgen.tasks.quality:Quality",
        "intents": "labelgen.tasks.intents:Intents",
        "slots": "labelgen.tasks.slots:Slots",
        "cause": "labelgen.tasks.cause:Cause",
        "order": "labelgen.tasks.order:Order",
        "selection": "labelgen.tasks.selection:Selection",
    },
)
