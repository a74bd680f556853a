"""Image files: every mode to RGB, orientation, and what is refused."""

from __future__ import annotations

import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcli.data.images import decode_image, is_image_file, list_images, load_images
from gradcli.data.preprocessing import Preprocessing, normalise
from gradcli.errors import DataError

RED, WHITE = (255, 0, 0), (255, 255, 255)


def pixels_of(path: Path) -> np.ndarray:
    image = decode_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_rgb_is_decoded_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.png"), pixels)


def test_alpha_is_composited_over_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    image.save(tmp_path / "a.png")
    assert pixels_of(tmp_path / "a.png").tolist() == [[list(RED), list(WHITE), [127, 127, 127]]]


def test_transparency_is_kept_when_asked_for(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = decode_image(tmp_path / "a.png", keep_transparency=True)
    assert image.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(image), pixels)
    Image.fromarray(pixels[..., :3]).save(tmp_path / "b.png")
    assert decode_image(tmp_path / "b.png", keep_transparency=True).mode == "RGB"


@pytest.mark.parametrize("mode", ["P", "LA", "L", "RGB"])
def test_transparency_of_other_modes_is_composited_over_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("P" if mode == "P" else mode, (2, 1))
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0])
        image.putpixel((1, 0), 1)
        image.save(tmp_path / "a.png", transparency=0)
    elif mode == "LA":
        image.putpixel((0, 0), (0, 0))
        image.putpixel((1, 0), (100, 255))
        image.save(tmp_path / "a.png")
    else:
        image.putpixel((1, 0), 100 if mode == "L" else RED)
        image.save(tmp_path / "a.png", transparency=0 if mode == "L" else (0, 0, 0))
    opaque = list(RED) if mode in ("P", "RGB") else [100, 100, 100]
    assert pixels_of(tmp_path / "a.png").tolist() == [[list(WHITE), opaque]]


def test_palette_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (1, 1))
    image.putpalette([10, 20, 30])
    image.save(tmp_path / "a.png")
    assert pixels_of(tmp_path / "a.png").tolist() == [[[10, 20, 30]]]


@pytest.mark.parametrize(("mode", "value", "expected"), [("L", 77, 77), ("1", 1, 255)])
def test_grey_and_bilevel_are_repeated(tmp_path: Path, mode: str, value: int, expected: int) -> None:
    Image.new(mode, (1, 1), value).save(tmp_path / "a.png")
    assert pixels_of(tmp_path / "a.png").tolist() == [[[expected] * 3]]


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, extension: str) -> None:
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    path = tmp_path / f"a.{extension}"
    Image.fromarray(values).save(path)
    assert pixels_of(path)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(pixels_of(tmp_path / "a.jpg").astype(int) - RED).max() <= 6


@pytest.mark.parametrize("array", [np.full((2, 2), 0.5, np.float32), np.full((2, 2), 70000, np.int32)])
def test_pixels_without_a_fixed_range_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "a.tiff"
    Image.fromarray(array).save(path)
    with pytest.raises(DataError, match=r"a\.tiff: .* no fixed range; expected 8 or 16 bits per channel"):
        decode_image(path)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [  # stored: [[0, 1, 2], [3, 4, 5]]
        (1, [[0, 1, 2], [3, 4, 5]]),
        (2, [[2, 1, 0], [5, 4, 3]]),
        (3, [[5, 4, 3], [2, 1, 0]]),
        (4, [[3, 4, 5], [0, 1, 2]]),
        (5, [[0, 3], [1, 4], [2, 5]]),
        (6, [[3, 0], [4, 1], [5, 2]]),
        (7, [[5, 2], [4, 1], [3, 0]]),
        (8, [[2, 5], [1, 4], [0, 3]]),
    ],
)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, expected: list[list[int]]) -> None:
    # blocks of 16x16 in well separated greys survive JPEG compression
    blocks = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 50, np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(blocks).save(tmp_path / "a.jpg", exif=exif, quality=95)
    centres = pixels_of(tmp_path / "a.jpg")[8::16, 8::16, 0]
    assert np.rint(centres / 50).astype(int).tolist() == expected


def write_jpeg(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG")


def write_truncated_jpeg(path: Path) -> None:
    write_jpeg(path)
    path.write_bytes(path.read_bytes()[:2000])


def write_png_with_wrong_checksum(path: Path) -> None:
    write_png_with_size(path, 2, 2)
    path.write_bytes(path.read_bytes()[:29] + b"\0\0\0\0" + path.read_bytes()[33:])


def write_png_with_size(path: Path, width: int, height: int) -> None:
    """A PNG file with one empty row of pixels, whatever its header says."""
    write_png(path, struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"\0")


def write_png(path: Path, header: bytes, rows: bytes, *more: tuple[bytes, bytes]) -> None:
    """A PNG file of this header, these unpacked rows and further chunks."""
    chunks = ((b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def write_truncated_png(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:2000])


def write_truncated_tiff(path: Path) -> None:
    Image.new("L", (64, 64)).save(path, format="TIFF")
    path.write_bytes(path.read_bytes()[:2000])


def test_sixteen_bit_colours_keep_their_upper_eight_bits(tmp_path: Path) -> None:
    colours = struct.pack(">6H", 0x1234, 0xFFFF, 0x00FF, 0, 0x8000, 0x0100)
    write_png(tmp_path / "a.png", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0), b"\0" + colours)
    assert pixels_of(tmp_path / "a.png").tolist() == [[[0x12, 0xFF, 0], [0, 0x80, 1]]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_fewer_bits_per_grey_are_scaled(tmp_path: Path, bits: int) -> None:
    first_full_then_empty = bytes([0, (2**bits - 1) << (8 - bits)])
    write_png(tmp_path / "a.png", struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0), first_full_then_empty)
    assert pixels_of(tmp_path / "a.png")[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("extension", ["webp", "tif", "png"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, extension: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, WHITE, (0, 0, 255))]
    options = {"lossless": True} if extension == "webp" else {}
    frames[0].save(tmp_path / f"a.{extension}", save_all=True, append_images=frames[1:], **options)
    assert (pixels_of(tmp_path / f"a.{extension}") == RED).all()


def test_ycbcr_tiff(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), RED).convert("YCbCr").save(tmp_path / "a.tif")
    assert np.abs(pixels_of(tmp_path / "a.tif").astype(int) - RED).max() <= 2


def test_a_file_of_another_kind_than_its_name_says_is_decoded(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), RED).save(tmp_path / "a.jpg", format="PNG")
    assert (pixels_of(tmp_path / "a.jpg") == RED).all()


def test_a_decoded_image_can_be_used_after_its_file_is_gone(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg")
    image = decode_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").unlink()
    assert image.resize((3, 2)).size == (3, 2)
    assert image.transpose(Image.Transpose.ROTATE_90).size == (64, 64)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file; expected an image"),
        (lambda path: path.mkdir(), "can't be read as an image"),
        (lambda path: path.write_text("not an image"), "not an image; expected a file such as JPEG"),
        (lambda path: path.write_bytes(b""), "not an image; expected a file such as JPEG"),
        (write_truncated_png, r"can't be read as an image \(image file is truncated.*expected a complete"),
        (write_truncated_tiff, "can't be .*expected a complete"),
        (write_truncated_jpeg, r"can't be read as an image \(image file is truncated .*expected a complete"),
        (write_png_with_wrong_checksum, "not an image|can't be"),
        (lambda path: write_png_with_size(path, 100_000, 100_000), "can't be decoded .*expected a complete"),
    ],
    ids=["missing", "folder", "text", "empty", "png", "tiff", "jpeg", "checksum", "bomb"],
)
def test_unreadable_files_are_named_in_one_line(tmp_path: Path, write, message: str) -> None:
    path = tmp_path / "photo.jpg"
    write(path)
    with pytest.raises(DataError, match=message) as caught:
        decode_image(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_large_photo_that_pillow_warns_of_is_decoded_quietly(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (4, 4), RED).save(tmp_path / "a.png")
    assert pixels_of(tmp_path / "a.png")[0, 0].tolist() == list(RED)  # warnings are errors in these tests


def test_pillows_warnings_are_ignored_in_every_thread_and_as_before_afterwards(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (4, 4), RED).save(tmp_path / "a.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as executor:
        decoded = list(executor.map(decode_image, [tmp_path / "a.png"] * 200))  # warnings are errors in these tests
    assert len(decoded) == 200
    assert list(warnings.filters) == before


def test_a_filter_of_the_callers_own_for_pillow_stays(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), RED).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        before = list(warnings.filters)
        decode_image(tmp_path / "a.png")
        assert list(warnings.filters) == before


def test_load_images_preprocesses_in_the_order_given(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    for index, colour in enumerate(colours):
        Image.new("RGB", (10 + index, 20), colour).save(tmp_path / f"{index}.png")
    preprocessing = Preprocessing(size=(4, 6), resize=7)
    batch = load_images([tmp_path / f"{index}.png" for index in (2, 0, 1)], preprocessing)
    assert batch.shape == (3, 3, 4, 6)
    assert batch.dtype == np.float32
    expected = np.array([colours[index] for index in (2, 0, 1)], np.uint8)[:, :, None, None]
    np.testing.assert_array_equal(batch, normalise(np.broadcast_to(expected, batch.shape), preprocessing))


def test_load_images_refuses_an_extreme_aspect_ratio(tmp_path: Path) -> None:
    Image.new("L", (20_000, 1)).save(tmp_path / "line.png")
    with pytest.raises(DataError, match=r"line\.png: 20000x1 pixels is too narrow to resize; expected"):
        load_images([tmp_path / "line.png"], Preprocessing())


def test_list_images_is_sorted_and_skips_other_files(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", ".hidden.png", "notes.txt", "10.jpg", "9.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["10.jpg", "9.jpg", "a.jpeg", "b.PNG"]


def test_list_images_refuses_an_empty_or_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in this folder; expected files ending in jpg, jpeg, png"):
        list_images(tmp_path)
    with pytest.raises(DataError, match=r"missing: can't be listed"):
        list_images(tmp_path / "missing")


@pytest.mark.parametrize(("name", "expected"), [("a.TIFF", True), ("a.gif", False), ("._a.jpg", False), ("jpg", False)])
def test_is_image_file(name: str, expected: bool) -> None:
    assert is_image_file(name) is expected
