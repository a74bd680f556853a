"""A list of labelled image files in CSV: `path,label` or `path,label,split`, one image a line."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from gradcli.data.class_names import check_class_names
from gradcli.data.dataset import FileDataset
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.split_names import SPLIT_NAMES
from gradcli.errors import DataError

PATH_LIST_EXTENSIONS: Final = (".csv", ".tsv")

# What a first line calls its columns, if it is a heading.
_PATH_HEADINGS: Final = ("path", "file", "filename", "file_name", "image", "image_path")
_LABEL_HEADINGS: Final = ("label", "class", "class_name", "category", "target")
_SPLIT_HEADINGS: Final = ("split", "set", "subset", "partition")


class _Row(NamedTuple):
    """One line: which, and what it says; `split` is `train` where the list has no such column."""

    line: int
    path: str
    label: str
    split: str


class _Columns(NamedTuple):
    """Where the columns stand."""

    path: int
    label: int
    split: int | None


def open_path_list(path: str | Path, preprocessing: Preprocessing | None = None) -> FileDataset:
    """The data set that a CSV file lists (with tabs, if its name ends in `.tsv`); by default preprocessed as ImageNet.

    Paths are relative to the CSV file's folder, or absolute. Labels are the names of the classes, whose order is
    `sorted()`. A third column, if there is one, tells the split: train, val or test, in the spellings that folders may
    have too. A first line that calls a column `path` (or `file`, `filename`, `image`) is a heading: the columns, of
    which there may be others, are then found by their headings. Quotes are those of Python's csv module.

    The files are not looked at here, but for the first one. DataError names the file and line of: a field that is
    missing or empty, a split that is none, an image listed under two classes, a class of another split that training
    doesn't have. So it does for a file that is no UTF-8 or no CSV, and what `check_class_names` refuses.
    """
    path = Path(path)
    rows = list(_read_rows(path))
    if not rows:
        raise DataError(f"{path}: lists no images; expected lines of path,label")
    if not os.path.exists(path.parent / rows[0].path):
        raise DataError(
            f"{path}: line {rows[0].line}: {rows[0].path}: no such file; expected paths relative to {path.parent}/"
        )
    _refuse_contradictions(path, rows)
    parts = {split: [row for row in rows if row.split == split] for split in ("train", "validation", "test")}
    if not parts["train"]:
        raise DataError(f"{path}: has no images to train on, only for {rows[0].split}; expected lines with split train")
    classes = sorted({row.label for row in parts["train"]})
    check_class_names(classes, str(path))

    def dataset_of(part: Sequence[_Row]) -> FileDataset:
        index = {name: number for number, name in enumerate(classes)}
        for row in part:
            if row.label not in index:
                raise DataError(
                    f"{path}: line {row.line}: class {row.label!r} has no images to train on, only for {row.split}"
                )
        labels = np.array([index[row.label] for row in part], dtype=np.int64)
        files = [row.path for row in part]
        return FileDataset(str(path), path.parent, files, labels, classes, preprocessing or Preprocessing())

    dataset = dataset_of(parts["train"])
    dataset.validation = dataset_of(parts["validation"]) if parts["validation"] else None
    dataset.test = dataset_of(parts["test"]) if parts["test"] else None
    return dataset


def _read_rows(path: Path) -> Iterator[_Row]:
    columns: _Columns | None = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            for fields in reader:
                if not any(fields):
                    continue
                if columns is None:
                    columns = _heading(path, fields)
                    if columns is not None:
                        continue
                    columns = _Columns(0, 1, 2 if len(fields) > 2 else None)
                yield _row(path, reader.line_num, fields, columns)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a list of images in CSV") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: can't be read ({reason}); expected a list of images in CSV") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 ({error.reason}); expected a list of images in CSV") from error
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: no CSV ({error}); expected path,label") from error


def _heading(path: Path, fields: Sequence[str]) -> _Columns | None:
    """The columns, if these are their headings; None if they are an image's."""
    names = [field.strip().lower() for field in fields]

    def position(headings: Sequence[str]) -> int | None:
        return next((names.index(heading) for heading in headings if heading in names), None)

    path_column, label_column = position(_PATH_HEADINGS), position(_LABEL_HEADINGS)
    if path_column is None:
        return None
    if label_column is None:
        raise DataError(f"{path}: its heading {', '.join(fields)} names no label; expected path,label")
    return _Columns(path_column, label_column, position(_SPLIT_HEADINGS))


def _row(path: Path, line: int, fields: Sequence[str], columns: _Columns) -> _Row:
    if len(fields) <= max(column for column in columns if column is not None):
        expected = "path,label" if columns.split is None else "path,label,split"
        raise DataError(f"{path}: line {line}: only {', '.join(fields)}; expected {expected}")
    file, label = fields[columns.path].strip(), fields[columns.label].strip()
    if not file or not label:
        raise DataError(f"{path}: line {line}: the {'label' if file else 'path'} is empty; expected path,label")
    if columns.split is None:
        return _Row(line, file, label, "train")
    written = fields[columns.split].strip()
    split = SPLIT_NAMES.get(written.lower())
    if split is None:
        raise DataError(f"{path}: line {line}: split {written!r}; expected train, val or test")
    return _Row(line, file, label, split)


def _refuse_contradictions(path: Path, rows: Sequence[_Row]) -> None:
    """DataError for an image that is listed under two classes."""
    seen: dict[str, _Row] = {}
    for row in rows:
        other = seen.setdefault(row.path, row)
        if other.label != row.label:
            raise DataError(
                f"{path}: line {row.line}: {row.path} is {row.label!r} here and {other.label!r} in line {other.line}"
            )
