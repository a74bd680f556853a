"""What one may choose by name of gradients: conditions to fail on, and groups. The command line imports it at start."""

from __future__ import annotations

from typing import Literal

Condition = Literal["nonfinite", "vanishing", "exploding", "zero"]
"""What a healthy gradient does not meet; `failing_gradients` says what each means."""

Grouping = Literal["layer", "block", "kind"]
"""What gradients are put together by; `groups_of_parameters` says what each means."""
