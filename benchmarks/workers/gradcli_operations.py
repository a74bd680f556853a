"""Operation worker for gradcli.

python -m workers.gradcli_operations --threads 1
"""

from __future__ import annotations

import gradcli
from workers.operation_case import argument_parser, serve_operations


def main() -> None:
    """Measure what is asked for."""
    gradcli.set_num_threads(argument_parser().parse_args().threads)
    serve_operations(f"gradcli {gradcli.__version__}", gradcli)


if __name__ == "__main__":
    main()
