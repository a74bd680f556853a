"""Operation worker for PyTorch.

python -m workers.pytorch_operations --threads 1
"""

from __future__ import annotations

import torch

from workers.operation_case import argument_parser, serve_operations


def main() -> None:
    """Measure what is asked for."""
    torch.set_num_threads(argument_parser().parse_args().threads)
    serve_operations(f"PyTorch {torch.__version__}", torch)


if __name__ == "__main__":
    main()
