"""Tokens are those that transformers gives, with their places in the text.

A tokenizer comes back from a model's folder as it was, whatever its kind, and by its own file alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from labelgen.features import text as text_features
from labelgen.features.pretrained import load_tokenizer, saved_tokenizer


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4), st.integers(4, 12))
def test_tokenizer_texts_give_ids_and_spans_of_transformers(tiny_encoder, texts, most):
    own = text_features.Tokenizer(load_tokenizer(str(tiny_encoder)), most)(texts)
    theirs = load_tokenizer(str(tiny_encoder))(texts, truncation=True, max_length=most, return_offsets_mapping=True)
    assert [list(tokens.truncated) for tokens in own] == theirs["input_ids"]
    short = [k for k, tokens in enumerate(own) if len(tokens.windows) == 1]
    assert [list(own[k].ids) for k in short] == [theirs["input_ids"][k] for k in short]
    words = [[texts[k][a:b].lstrip() for a, b in theirs["offset_mapping"][k]] for k in short]
    assert [[texts[k][a:b] for a, b in own[k].spans] for k in short] == words


TEXTS = ("play stop the red lamp", "Rain in Paris? add milk, bread", "é 紫の煙 🎵 [SEP] </s> <mask>")
KINDS = ("BertTokenizer", "XLMRobertaTokenizer", "RobertaTokenizer", "PreTrainedTokenizerFast")


def folder_of(kind: str, folder: Path) -> Path:
    """A folder as a repository of such a model has it."""
    from transformers import PreTrainedTokenizerFast

    if kind == "BertTokenizer":
        names = {
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "mask_token": "[MASK]",
        }
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(
            vocab_size=200, special_tokens=sorted(names.values()), show_progress=False
        )
    else:
        names = {
            "unk_token": "<unk>",
            "cls_token": "<s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
        }
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        if kind == "XLMRobertaTokenizer":
            made, trainer = (
                Tokenizer(models.Unigram()),
                trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False),
            )
            made.pre_tokenizer = pre_tokenizers.Metaspace()
        else:
            made, trainer = (
                Tokenizer(models.BPE()),
                trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False),
            )
            made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(TEXTS, trainer)
    (end, last), (start, first) = ((names[key], made.token_to_id(names[key])) for key in ("sep_token", "cls_token"))
    assert last is not None
    assert first is not None
    made.post_processor = processors.BertProcessing((end, last), (start, first))
    PreTrainedTokenizerFast(tokenizer_object=made, truncation_side="left", **names).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": kind}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_saved_tokenizer_any_kind_gives_original_tokens(kind, tmp_path):
    trained = load_tokenizer(str(folder_of(kind, tmp_path / "encoder")))
    trained.save_pretrained(tmp_path / "tokenizer")
    again = saved_tokenizer(tmp_path / "tokenizer")
    ours, theirs = ([one.backend_tokenizer.encode(text) for text in TEXTS] for one in (again, trained))
    assert [(one.ids, one.offsets) for one in ours] == [(one.ids, one.offsets) for one in theirs]
    assert again.truncation_side == trained.truncation_side == "left"


def test_saved_tokenizer_other_files_are_not_read(tmp_path):
    folder = folder_of("BertTokenizer", tmp_path / "t")
    before = saved_tokenizer(folder).backend_tokenizer.to_str()
    (folder / "added_tokens.json").write_text('{"play": 5}', encoding="utf-8")
    (folder / "vocab.txt").write_text("[UNK]\nplay\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text('{"unk_token": "play"}', encoding="utf-8")
    assert saved_tokenizer(folder).backend_tokenizer.to_str() == before
