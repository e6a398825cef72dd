"""labelgen verify: is a folder of labelled records what its manifest says?"""

from collections.abc import Sequence

from labelgen.base.errors import IntegrityError
from labelgen.base.places import place
from labelgen.base.progress import progress
from labelgen.cli.arguments import parser
from labelgen.labelling.verify import verify


def main(argv: Sequence[str]) -> int:
    to = parser(
        "verify",
        "Check labelled records against their manifest: digests, sums, doubled ids. Exit code 4 if anything is wrong.",
        "labelgen verify labelled/ --input logs/",
    )
    to.add_argument("output", type=place, help="a folder that labelgen label wrote")
    to.add_argument("--input", type=place, metavar="IN", help="the log that was labelled, to be compared as well")
    args = to.parse_args(argv)
    faults = []
    for fault in verify(args.output, args.input, lambda paths: progress(paths, "verify", "files")):
        print(fault)
        faults.append(fault)
    if faults:
        count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
        mend = "label again into this folder; --force replaces what is spoilt"
        raise IntegrityError(f"{count}, the first: {faults[0]}", str(args.output), mend)
    print("good: digests, sums and ids are as the manifest says")
    return 0
