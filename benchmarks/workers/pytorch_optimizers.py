"""Optimizer worker for PyTorch.

python -m workers.pytorch_optimizers --threads 2
"""

from __future__ import annotations

import torch

from workers.optimizer_case import argument_parser, serve_optimizers


def main() -> None:
    """Measure what is asked for."""
    torch.set_num_threads(argument_parser().parse_args().threads)
    serve_optimizers(f"PyTorch {torch.__version__}", torch, lambda values: values)


if __name__ == "__main__":
    main()
