"""Training worker for PyTorch, in its default layout or channels-last.

python -m workers.pytorch --mode step --side 64 --batch 8 --weights resnet18.pth --threads 2 [--channels-last]
"""

from __future__ import annotations

import torch
from reference.torch_resnet18 import resnet18

from workers.training_case import argument_parser, case_of
from workers.training_run import make_run
from workers.turns import serve_turns


def main() -> None:
    """Build the model once, then take turns."""
    parser = argument_parser()
    parser.add_argument("--channels-last", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    memory_format = torch.channels_last if arguments.channels_last else torch.contiguous_format
    model = resnet18()
    model.load_state_dict(torch.load(arguments.weights, weights_only=True))
    model = model.to(memory_format=memory_format)  # type: ignore[call-overload]  # missing from its stubs
    case = case_of(arguments)
    images = torch.from_numpy(case.images()).contiguous(memory_format=memory_format)
    serve_turns(f"PyTorch {torch.__version__}", make_run(torch, case, model, images))


if __name__ == "__main__":
    main()
