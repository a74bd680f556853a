"""Training worker for gradcli.

python -m workers.gradcli --mode step --side 64 --batch 8 --weights resnet18.safetensors --threads 2 --kernels fast
"""

from __future__ import annotations

import gradcli
from gradcli.models import resnet18
from workers.training_case import argument_parser, case_of
from workers.training_run import make_run
from workers.turns import serve_turns


def main() -> None:
    """Build the model once, then take turns."""
    parser = argument_parser()
    parser.add_argument("--kernels", choices=("exact", "fast"), required=True)
    arguments = parser.parse_args()
    gradcli.set_num_threads(arguments.threads)
    gradcli.set_kernels(arguments.kernels)
    case = case_of(arguments)
    run = make_run(gradcli, case, resnet18(weights=arguments.weights), gradcli.from_numpy(case.images()))
    serve_turns(f"gradcli {gradcli.__version__}", run)


if __name__ == "__main__":
    main()
