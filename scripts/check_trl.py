"""Two steps of TRL's DPOTrainer and SFTTrainer on exported records, with a tiny random model: they are in the form that TRL reads.

Run it where TRL is installed: python scripts/check_trl.py pairs.jsonl chats.jsonl, which `labelgen data export` wrote."""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"


def main(pairs: str, chats: str) -> None:
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer  # type: ignore[import-not-found]

    preferences = _read(pairs, ["prompt", "chosen", "rejected"])
    conversations = _read(chats, ["messages"])
    with tempfile.TemporaryDirectory() as folder:
        common: dict[str, Any] = {"max_steps": 2, "report_to": "none", "use_cpu": True, "bf16": False}
        common |= {"per_device_train_batch_size": 2, "save_strategy": "no", "max_length": 256}
        tokenizer = _tokenizer([pairs, chats])
        for name, trainer, config, dataset in (
            ("DPOTrainer", DPOTrainer, DPOConfig, preferences),
            ("SFTTrainer", SFTTrainer, SFTConfig, conversations),
        ):
            arguments = config(output_dir=f"{folder}/{name}", **common)
            done = trainer(
                _model(tokenizer, f"{folder}/{name}-model"),
                args=arguments,
                train_dataset=dataset,
                processing_class=tokenizer,
            ).train()
            print(f"{name}: {len(dataset):,} records, {done.global_step} steps, loss {done.training_loss:.3f}")
    print(", ".join(f"{name} {version(name)}" for name in ("trl", "transformers", "datasets", "torch")))


def _read(path: str, columns: list[str]) -> Dataset:
    return load_dataset("json", data_files=path, split="train").select_columns(columns)


def _tokenizer(files: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "</s>", "<user>", "<assistant>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = (line for file in files for line in Path(file).read_text(encoding="utf-8").splitlines())
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")
    made.chat_template = TEMPLATE
    return made


def _model(tokenizer: PreTrainedTokenizerFast, folder: str) -> LlamaForCausalLM:
    """Read from a folder, since the trainers look there for more files."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokenizer.save_pretrained(folder)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, **sizes)).save_pretrained(
        folder
    )
    return LlamaForCausalLM.from_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
