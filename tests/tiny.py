"""A tiny text encoder with its tokenizer, made in a moment and without a download."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

_TEXT = (
    "play stop the red blue lamp timer for ten minutes rain in paris add milk bread to my list again please",
    "yes no thank you sorry I did not understand that here is what I found what is the weather tomorrow",
    "book a table for two at seven find me a restaurant the other one is booked anything else goodbye",
)
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def write_tiny_encoder(folder: Path, most_tokens: int = 128) -> Path:
    """Two layers, width 32, so many tokens at most; weights from a fixed seed. Gives the folder back."""
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokens.train_from_iterator(_TEXT, trainer)
    tokens.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=most_tokens,
    ).save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=tokens.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=most_tokens + 2,
        type_vocab_size=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
