"""The annotator for Python: loaded from a folder or a hub, for dialogues in any form."""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from labelgen.api.dialogues import Dialogues, kind_of, load_log
from labelgen.base.errors import IntegrityError, StorageError, UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.tables import COLUMNS, label_rows
from labelgen.labeling.shard import taken_name
from labelgen.model import annotator
from labelgen.model.card import MODEL_CARD
from labelgen.model.folder import DIGESTS, UNREAD, check_model, model_digest, read_digests, replace_folder

_AT_ONCE = 64


class Annotator(annotator.Annotator):
    """A model folder that labels dialogues, with calibrated probabilities, abstention and provenance.

    Args:
        folder: of the model; `from_pretrained` also takes the name of a repository on a hub.
        options: name, labels, precision, device, calibrated, online, domains_from, thresholds, values
            (labelgen.model.annotator.Annotator).

    Raises UsageError for options that the model or the machine does not support, IntegrityError for a damaged folder."""

    def __init__(self, folder: str | os.PathLike[str], **options: Any) -> None:
        self._options = options
        super().__init__(Path(folder), **options)

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str],
        *,
        revision: str | None = None,
        digest: str | None = None,
        token: str | None = None,
        **options: Any,
    ) -> "Annotator":
        """Load a model.

        Args:
            model: folder, or name of a repository on the Hugging Face hub (HF_ENDPOINT names another hub).
            revision: branch, tag or commit of the repository.
            digest: the model's digest, as its labels' provenance has it; another one is refused.
            token: of the hub.
            options: those of `Annotator`.

        Raises UsageError for a name that is no folder and no repository, IntegrityError for another digest."""
        folder = _local(model, revision, token)
        check_model(folder)
        if digest is not None and model_digest(folder) != digest:
            raise IntegrityError(
                f"the model has the digest {model_digest(folder)}, not {digest}",
                str(model),
                "give the revision with that digest, or look why the model was changed",
            )
        return cls(folder, **options)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> str:
        """Copy the model with its calibration to a folder, replacing an older model there; returns the model's digest."""
        target = Path(folder)
        if target.exists() and any(target.iterdir()) and not (target / DIGESTS).is_file():
            raise UsageError("the folder holds something else than a model", str(target), "name a new folder")
        try:
            with replace_folder(target) as part:
                shutil.copytree(self.folder, part, dirs_exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot write the model: {error.strerror}", str(target), "check the path") from error
        return model_digest(target)

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool = True,
        revision: str | None = None,
        message: str = "Upload labelgen model",
        card: bool = True,
        token: str | None = None,
    ) -> str:
        """Upload the model with its calibration to a repository of the Hugging Face hub, which is made if it is new.

        The repository then holds exactly this model: other files there are removed by the same commit. card: false keeps the model
        card that the repository has, which may have been edited there.

        Texts of the training data are not in a model folder, but their words may be (n-grams of linear members, tokenizer).
        Returns the address of the commit. Raises StorageError if the hub refuses."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        hub = HfApi(token=token)
        kept = {name for name in UNREAD if name != MODEL_CARD or not card}
        try:
            hub.create_repo(repository, private=private, exist_ok=True)
            if revision is not None:
                hub.create_branch(repository, branch=revision, exist_ok=True)
            others = {*hub.list_repo_files(repository, revision=revision)} - {
                *read_digests(self.folder),
                DIGESTS,
                *UNREAD,
            }
            commit = hub.upload_folder(
                repo_id=repository,
                folder_path=self.folder,
                revision=revision,
                commit_message=message,
                ignore_patterns=sorted(kept),
                delete_patterns=[glob.escape(name) for name in sorted(others)] or None,
            )
        except (HfHubHTTPError, OSError) as error:
            raise StorageError(f"the hub refused: {error}", repository, "check name, token and network") from error
        return str(commit.commit_url)

    def annotate(
        self,
        dialogues: Any,
        goals_from: str | None = None,
        root: str | os.PathLike[str] | None = None,
        mapping: Any = None,
    ) -> Any:
        """Label dialogues, and return what was given.

        Args:
            dialogues: Dialogue objects -> their annotations, in order. Dicts -> the dicts with one more annotation. A path or
                Dialogues -> Dialogues with one more annotation. A pandas DataFrame of turns -> a DataFrame with a row for each
                label (labelgen.data.tables.COLUMNS). A datasets.Dataset of records -> with one more annotation; of
                turns -> a Dataset with a row for each label.
            goals_from: annotator in the dialogues whose goals replace the predicted ones.
            root: folder that audio paths are relative to.
            mapping: of the columns of a table, as for `labelgen.load_log`.

        Raises InputError for records that cannot be used, UsageError for anything else that is no log."""
        folder = None if root is None else Path(root)
        if isinstance(dialogues, Sequence) and all(isinstance(one, Dialogue) for one in dialogues):
            return super().annotate(dialogues, goals_from, folder)
        log = list(load_log(dialogues, mapping=mapping))
        annotations: list[Annotation] = []
        for start in range(0, len(log), _AT_ONCE):
            annotations += super().annotate(log[start : start + _AT_ONCE], goals_from, folder)
        return _as_given(dialogues, log, annotations, mapping)

    def __call__(self, batch: Any) -> dict[str, list[Any]]:
        """For `Dataset.map(annotator, batched=True)` over records: their annotations with one more.

        A Dataset that is mapped by several processes loads the model in each. Raises UsageError for what is no batch."""
        if not isinstance(batch, Mapping):
            what = f"{type(batch).__name__} is no batch of a Dataset"
            raise UsageError(what, "the annotator", "call its method annotate(...) with dialogues, a path or a table")
        names = list(batch)
        records = [dict(zip(names, row, strict=True)) for row in zip(*batch.values(), strict=True)]
        return (
            {"annotations": [record["annotations"] for record in self.annotate(records)]}
            if records
            else {"annotations": []}
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._options), (str(self.folder),)


def _local(model: str | os.PathLike[str], revision: str | None, token: str | None) -> Path:
    """The folder of a model; from a hub it is downloaded to the hub's cache."""
    if Path(model).is_dir():
        if revision is not None:
            raise UsageError("a folder has no revisions", str(model), "leave revision out, or give digest")
        return Path(model)
    name = os.fspath(model)
    if not 1 <= len(name.split("/")) <= 2 or name.startswith((".", "/", "~")):
        raise UsageError(f"there is no model folder {name}", name, "name a folder, or a repository as OWNER/NAME")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return _without_links(Path(snapshot_download(name, revision=revision, token=token)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"there is no folder {name}, and the hub has no such repository: {reason}",
            name,
            "check the name, the revision, the token and the network",
        ) from error


def _without_links(snapshot: Path) -> Path:
    """The files of a snapshot in the hub's cache as a model folder, which holds no links; beside the snapshots of the repository, so that
    the cache removes it with them."""
    folder = snapshot.parents[1] / "labelgen" / snapshot.name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        shutil.copytree(snapshot, part, copy_function=_link_or_copy, dirs_exist_ok=True)
        part.chmod(snapshot.stat().st_mode)
        # Where another process was first, its folder has the same files.
        with suppress(OSError):
            os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _link_or_copy(source: str, target: str) -> None:
    """A hard link to the file behind a link: the hub's cache never changes a file in place."""
    file = os.path.realpath(source)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _as_given(given: Any, log: Sequence[Dialogue], annotations: Sequence[Annotation], mapping: Any) -> Any:
    """The annotations in the form that the dialogues had."""
    kind = kind_of(given)
    records = mapping is None and (kind != "dataset" or "turns" in given.column_names)
    if kind == "python" or (kind == "dataset" and records):
        labeled = Dialogues(list(_with(log, annotations)))
        if kind == "dataset":
            return labeled.to_dataset()
        return labeled.to_dicts() if isinstance(given, Sequence) and _are_dicts(given) else labeled
    import pandas

    rows = [row for one, labels in zip(log, annotations, strict=True) for row in label_rows(one, labels)]
    table = pandas.DataFrame(rows, columns=list(COLUMNS))
    if kind == "pandas":
        return table
    from datasets import Dataset

    return Dataset.from_pandas(table, preserve_index=False)


def _are_dicts(given: Sequence[Any]) -> bool:
    return not isinstance(given, str) and all(isinstance(one, Mapping) for one in given)


def _with(log: Sequence[Dialogue], annotations: Sequence[Annotation]) -> Iterator[Dialogue]:
    for dialogue, annotation in zip(log, annotations, strict=True):
        if (error := taken_name(dialogue, annotation.annotator)) is not None:
            raise error
        others = tuple(one for one in dialogue.annotations if one.annotator != annotation.annotator)
        yield replace(dialogue, annotations=(*others, annotation))
