"""Where a command's data goes, and in which form: standard output or a file, text or arrays."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from gradcli.cli.formats import BINARY_FORMATS, choose_format
from gradcli.cli.plain_values import plain, strict_json
from gradcli.cli.tables import (
    Caption,
    Column,
    draw_table,
    header_line,
    row_line,
    terminal_console,
    write_csv_row,
)
from gradcli.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from rich.console import RenderableType

logger = logging.getLogger(__name__)

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Output:
    """A command's destination: its format, and a file that appears complete or not at all.

    `command` names the JSON schema `gradcli.<command>/1`; `path` is None for standard output.
    """

    command: str
    format: str
    path: Path | None = None

    @classmethod
    def resolve(
        cls,
        command: str,
        output: str | None,
        format: str | None,
        formats: Sequence[str],
        *,
        json: bool = False,
    ) -> Output:
        """The output for `-o`, `--format` and `--json` as given, among the command's `formats`.

        UsageError for options that contradict each other and for binary data on a terminal,
        DataError for a file that can't be written.
        """
        path = None if output in (None, "-") else Path(str(output))
        chosen = choose_format(format, formats, path, json=json)
        if path is not None:
            _check_writable(path)
        elif chosen in BINARY_FORMATS and _is_terminal():
            raise UsageError(f"--format {chosen} is binary, standard output a terminal; add -o FILE.{chosen} or a pipe")
        return cls(command, chosen, path)

    @property
    def schema(self) -> str:
        """The name and version of the JSON objects, for example `gradcli.step/1`."""
        return f"gradcli.{self.command}/1"

    @property
    def is_terminal(self) -> bool:
        """Whether the output goes to a reader at a terminal."""
        return self.path is None and _is_terminal()

    @property
    def is_drawn_table(self) -> bool:
        """Whether records become a table for a reader at a terminal, and not text for a program."""
        return self.format == "table" and self.is_terminal

    def draw(self, *renderables: RenderableType) -> None:
        """Draw Rich's renderables, of a command that does not show its records as rows; for one that
        `is_drawn_table`."""
        with self._text_file() as file:
            terminal_console(file).print(*renderables, sep="\n")

    def write_text(self, text: str) -> None:
        """Write text that the command has formatted itself, such as a graph in DOT or SVG."""
        with self._text_file() as file:
            file.write(text)

    def write_bytes(self, content: bytes) -> None:
        """Write the content of a file that the command has made itself, such as a picture."""
        with self._binary_file() as file:
            file.write(content)

    def write_records(
        self,
        records: Iterable[Record | Any],
        columns: Sequence[Column],
        *,
        document: Record | None = None,
        records_field: str = "records",
        caption: Caption | None = None,
    ) -> None:
        """Write records (mappings or dataclasses) in the format `table`, `json`, `jsonl` or `csv`.

        Rows show the `columns`; JSON holds every field. With `document`, JSON is one object of
        those fields and the list of records under `records_field`; without, one object per record
        and line. `caption` stands below a table on a terminal; rows elsewhere have it on standard error.
        """
        if self.format == "json" and document is not None:
            whole = {
                "schema": self.schema,
                **plain(document),
                records_field: [plain(each) for each in records],
            }
            self.write_text(strict_json(whole) + "\n")
            return
        with self.record_writer(columns, caption=caption) as write:
            for record in records:
                write(record)

    @contextlib.contextmanager
    def record_writer(
        self, columns: Sequence[Column], *, caption: Caption | None = None
    ) -> Iterator[Callable[[Record | Any], None]]:
        """A function that writes one record at a time, for runs that produce them slowly.

        Lines go out at once; a table on a terminal is drawn at the end, when its widths are known. `caption` is as in
        `write_records`.
        """
        if self.is_drawn_table:
            rows: list[Record] = []
            try:
                yield lambda record: rows.append(plain(record))
            finally:
                if rows:  # those before an error too
                    with self._text_file() as file:
                        draw_table(rows, columns, file, caption)
            return
        with self._text_file() as file:
            heading_written = False

            def write(record: Record | Any) -> None:
                nonlocal heading_written
                fields = plain(record)
                if not heading_written:  # now, so that an error before the first record leaves nothing at all
                    self._write_heading(file, columns)
                    heading_written = True
                if self.format == "table":
                    file.write(row_line(fields, columns))
                elif self.format == "csv":
                    write_csv_row(file, [fields.get(column.field) for column in columns])
                elif self.format in ("json", "jsonl"):
                    file.write(strict_json({"schema": self.schema, **fields}) + "\n")
                else:
                    raise ValueError(f"records have no form in the format {self.format!r}")
                file.flush()

            yield write
            if not heading_written:
                self._write_heading(file, columns)
        if self.format in ("table", "csv"):
            text = caption([]) if callable(caption) else caption
            if text:
                logger.info("%s", text)

    def _write_heading(self, file: TextIO, columns: Sequence[Column]) -> None:
        if self.format == "table":
            file.write(header_line(columns))
        elif self.format == "csv":
            write_csv_row(file, [column.field for column in columns])

    def write_arrays(
        self,
        arrays: Mapping[str, np.ndarray],
        metadata: Mapping[str, str] | None = None,
        *,
        caption: str | None = None,
    ) -> None:
        """Write named arrays in the format `npy` (exactly one), `npz` or `safetensors`.

        Memory order is C in every file. `metadata` reaches safetensors only, the others have no
        place for it; `caption` goes to standard error.
        """
        self._write_arrays(arrays, metadata)
        if caption:
            logger.info("%s", caption)

    def _write_arrays(self, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None) -> None:
        if self.format == "safetensors":
            self._write_safetensors(arrays, metadata)
            return
        import numpy as np

        # Built in memory: NumPy's own writing to a pipe or a full disk fails without saying why.
        buffer = io.BytesIO()
        contiguous: dict[str, Any] = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        if self.format == "npy":
            if len(contiguous) != 1:
                raise UsageError(f"--format npy holds exactly one array, not {len(contiguous)}; npz holds several")
            (array,) = contiguous.values()
            np.save(buffer, array, allow_pickle=False)
        elif self.format == "npz":
            np.savez(buffer, **contiguous)
        else:
            raise ValueError(f"arrays have no form in the format {self.format!r}")
        with self._binary_file() as file:
            file.write(buffer.getbuffer())

    def write_rows(
        self,
        name: str,
        shape: tuple[int, ...],
        blocks: Iterable[np.ndarray],
        others: Mapping[str, np.ndarray],
        *,
        caption: str | None = None,
    ) -> None:
        """Write one float32 array, whose rows come block by block, as `npy`, or with `others` as `npz`.

        Each block is written as it comes: they need not fit into memory together. `caption` goes to standard error.
        """
        from gradcli.cli.array_rows import write_npy, write_npz

        if self.format not in ("npy", "npz"):
            raise ValueError(f"rows have no form in the format {self.format!r}")
        with self._binary_file() as file:
            if self.format == "npy":
                write_npy(file, shape, blocks)
            else:
                write_npz(file, name, shape, blocks, others)
        if caption:
            logger.info("%s", caption)

    def _write_safetensors(self, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None) -> None:
        from gradcli.checkpoints.safetensors_writer import save_safetensors

        if self.path is not None:
            save_safetensors(self.path, arrays, metadata)
            return
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "output.safetensors"
            save_safetensors(path, arrays, metadata)
            with path.open("rb") as source, self._binary_file() as file:
                shutil.copyfileobj(source, file)

    @contextlib.contextmanager
    def _binary_file(self) -> Iterator[BinaryIO]:
        with self._errors_name_the_destination():
            if self.path is not None:
                from gradcli.checkpoints.atomic import write_atomically

                with write_atomically(self.path, "wb") as file:
                    yield file
            else:
                yield _standard_output().buffer
                _standard_output().buffer.flush()

    @contextlib.contextmanager
    def _text_file(self) -> Iterator[TextIO]:
        with self._errors_name_the_destination():
            if self.path is not None:
                from gradcli.checkpoints.atomic import write_atomically

                with write_atomically(self.path, "w") as file:
                    yield file
            else:
                yield _standard_output()
                _standard_output().flush()

    @contextlib.contextmanager
    def _errors_name_the_destination(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            # A write that fails, on a full disk for example, reports an errno but no file name.
            if error.errno is None or error.filename is not None:
                raise
            destination = "standard output" if self.path is None else str(self.path)
            raise DataError(f"{destination}: cannot be written: {error.strerror}") from error


def _standard_output() -> TextIO:
    if sys.stdout is None:
        raise DataError("standard output is closed; write to a file with -o FILE")
    return sys.stdout


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def check_weights_path(path: str) -> None:
    """Before any work: UsageError unless the file is named `.safetensors`, DataError if it can't be written."""
    if path == "-":
        raise UsageError("--save writes a file, not standard output; name a .safetensors file")
    if Path(path).suffix.lower() != ".safetensors":
        raise UsageError(
            f"--save {path}: weights are saved as safetensors; name the file {Path(path).stem}.safetensors"
        )
    _check_writable(Path(path))


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: cannot be written: it is a folder; name a file")
    if not path.parent.is_dir():
        raise DataError(f"{path}: cannot be written: there is no folder {path.parent}")
    # A file is replaced through its folder; a device or pipe is written itself.
    place = path if path.exists() and not path.is_file() else path.parent
    if not os.access(place, os.W_OK):
        raise DataError(f"{path}: cannot be written: {place} is write-protected")
