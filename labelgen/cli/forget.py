"""labelgen data forget: delete one user's records and labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelgen.base.errors import UsageError
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command
from labelgen.labeling.forget import forget
from labelgen.labeling.journal import ModelReceipt, Receipt

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class ForgetOptions:
    """Delete the records and labels of one user, or of dialogues by id, from logs, folders of labels and files for review. Run the same
    command again to finish a deletion that was interrupted."""

    paths: Annotated[tuple[str, ...], ARGUMENT]
    """logs, folders that labelgen label wrote, files for review, or folders of these"""
    user: Annotated[str | None, "ID"] = None
    """user whose records are deleted"""
    dialogue: Annotated[tuple[str, ...], "ID"] = ()
    """dialogue to delete, for records without a user"""
    receipt: Annotated[Path, "FILE"]
    """receipt of the deletion (JSON) that is written; it holds no id"""
    model: Annotated[tuple[Path, ...], "FOLDER"] = ()
    """model folder; the receipt says whether it was trained on deleted records"""

    def check(self) -> None:
        """Raises UsageError without an id."""
        if self.user is None and not self.dialogue:
            raise UsageError("nobody is named", "--user, --dialogue", "give the id of a user, or ids of dialogues")


def write_receipt(options: ForgetOptions) -> Receipt:
    """Delete the records, and write the receipt."""

    def check(fingerprints: Iterable[int]) -> Sequence[ModelReceipt]:
        known = list(fingerprints)
        return [_model(folder, known, options.paths) for folder in options.model]

    for folder in options.model:
        _check(folder)
    return forget(options.paths, options.receipt, options.user, options.dialogue, check)


def _check(folder: Path) -> None:
    from labelgen.model.folder import check_model

    check_model(folder)


def _model(folder: Path, fingerprints: Sequence[int], paths: Sequence[str]) -> ModelReceipt:
    """Whether a model was trained on dialogues with these fingerprints, or on a log at these paths."""
    from labelgen.model.folder import model_digest, read_card, read_trained_on

    known, card = read_trained_on(folder), read_card(folder)
    learned = set(known.fingerprints.tolist())
    count = sum(one in learned for one in fingerprints)
    data = card.get("config", {}).get("data", {})
    logs = {Path(log).resolve() for name in ("train", "valid") for log in data.get(name) or ()}
    changed = [Path(path).resolve() for path in paths]
    read = any(log.is_relative_to(path) or path.is_relative_to(log) for log in logs for path in changed)
    pretrained = card.get("command") == "pretrain" or card.get("config", {}).get("init") is not None
    if count:
        trained, reason = "yes", "fingerprints of deleted dialogues are in trained_on.bin"
    elif read:
        trained, reason = "yes", "its card names one of these logs for training or validation"
    elif known.complete and not pretrained:
        trained, reason = "no", "trained_on.bin lists all dialogues of its training, and none was deleted"
    else:
        trained, reason = (
            "unknown",
            "it was pretrained, or trained by an early version, without a list of all dialogues",
        )
    hint = None if trained == "no" else "train it again on the logs without these records"
    return ModelReceipt(
        folder=str(folder), digest=model_digest(folder), trained=trained, dialogues=count, reason=reason, hint=hint
    )


def forget_command(options: ForgetOptions) -> None:
    """Delete the records, and print the receipt in short."""
    receipt = write_receipt(options)
    for file in receipt.files:
        if file.records:
            print_lines(f"{file.records:,} records deleted from {file.path}")
    if receipt.not_examined:
        shown = ", ".join(receipt.not_examined[:_SHOWN])
        more = f" and {len(receipt.not_examined) - _SHOWN:,} more" if len(receipt.not_examined) > _SHOWN else ""
        print_lines(f"not examined: {shown}{more}")
    for model in receipt.models:
        print_lines(f"model {model.folder}: trained on deleted records: {model.trained}; {model.reason}")
        if model.hint is not None:
            print_lines(f"  hint:  {model.hint}")
    print_lines(f"{receipt.records:,} records deleted; receipt in {options.receipt}")


FORGET = Command(
    "data forget",
    ForgetOptions,
    forget_command,
    "labelgen data forget logs/ labeled/ --user u17 --receipt deleted.json --model model/",
)
