"""Optimizer worker for gradcli.

python -m workers.gradcli_optimizers --threads 2
"""

from __future__ import annotations

from typing import Any

import gradcli
from workers.optimizer_case import argument_parser, serve_optimizers


def channels_last(values: Any) -> Any:
    """Filters as gradcli's convolutions keep them, (O, kh, kw, C) in memory."""
    if values.dim() != 4:
        return values
    return values.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # (O, C, kh, kw) -> (O, kh, kw, C) and back


def main() -> None:
    """Measure what is asked for."""
    gradcli.set_num_threads(argument_parser().parse_args().threads)
    serve_optimizers(f"gradcli {gradcli.__version__}", gradcli, channels_last)


if __name__ == "__main__":
    main()
