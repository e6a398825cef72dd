"""What a model can learn to label: one file and one line each."""

TASKS = {
    "goals": "labelgen.tasks.goals:Goals",
    "outcome": "labelgen.tasks.outcome:Outcome",
    "quality": "labelgen.tasks.quality:Quality",
    "intents": "labelgen.tasks.intents:Intents",
    "slots": "labelgen.tasks.slots:Slots",
    "order": "labelgen.tasks.order:Order",
    "selection": "labelgen.tasks.selection:Selection",
}
