"""Files that are not files, images that are bombs, links that lead out, text that no terminal can show."""

import json
import os
import socket
import struct
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from job_files import environment, make_data

from albu_diffusemix.cli import main
from albu_diffusemix.contact_sheet import draw_text
from albu_diffusemix.image_headers import declared_size, has_sixteen_bits, may_be_transparent, orientation
from albu_diffusemix.images import MOST_PIXELS, read_image, write_image
from albu_diffusemix.preview import load_pipeline
from albu_diffusemix.store import Store

ESCAPE = "\x1b[2J"
ODD_NAMES = (b"caf\xe9.png", b"new\nline.png", b"\x1b[31mred.png", "\u202egnp.evil".encode())
DEEP = "[" * 200_000


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 3)


@pytest.fixture
def made(data, tmp_path):
    """A store of the data, before anything odd is put beside them."""
    assert main(["generate", str(data), "-o", str(tmp_path / "made.dm"), "--size", "32"]) == 0
    return tmp_path / "made.dm"


def png_bomb(width, height):
    def chunk(kind, payload):
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


RUN = "import sys; from albu_diffusemix.cli import main; sys.exit(main())"
RUN_EACH = """
import json, sys
from albu_diffusemix.cli import main
statuses = []
for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        statuses.append(main())
    except SystemExit as stopped:
        statuses.append(stopped.code)
print(json.dumps(statuses))
"""


def run_each(folder, commands):
    """Run command lines one after the other in a process of their own; returns the status of each, and the output."""
    done = run(folder, json.dumps(commands), code=RUN_EACH)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, err
    return json.loads(out.splitlines()[-1]), out, err


def run(folder, *command, code=RUN, **changes):
    """The command line in a process of its own: a crash ends that."""
    names = {**environment(folder), **changes}
    return subprocess.run(
        [sys.executable, "-c", code, *map(os.fsencode, map(str, command))],
        env={name: value for name, value in names.items() if not name.startswith("COVERAGE")},
        capture_output=True,
        check=False,
        timeout=120,
    )


def put_fifo(path):
    os.mkfifo(path)


def put_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def put_link_to_a_device(path):
    path.symlink_to("/dev/zero")


def put_broken_link(path):
    path.symlink_to("nowhere")


@pytest.mark.parametrize("put", [put_fifo, put_socket, put_link_to_a_device, put_broken_link])
def test_only_regular_files_are_read_and_links_to_them(tmp_path, put):
    put(tmp_path / "a.png")
    with pytest.raises(OSError, match=r"only regular files are read|No such file"):
        read_image(tmp_path / "a.png")


def test_a_link_to_an_image_is_read(tmp_path, data):
    (tmp_path / "link.png").symlink_to(data / "class0/000.png")
    assert np.array_equal(read_image(tmp_path / "link.png"), read_image(data / "class0/000.png"))


@pytest.mark.parametrize("put", [put_fifo, put_socket, put_link_to_a_device])
def test_what_is_not_a_regular_file_is_one_reason_in_every_command(data, made, tmp_path, capsys, put):
    put(data / "class0/a.png")
    capsys.readouterr()
    assert main(["generate", str(data), "-o", str(made)]) == 1
    assert main(["doctor", str(data), str(made)]) == 1
    assert main(["preview", str(data), "-o", str(tmp_path / "sheet.png")]) == 1
    out, err = capsys.readouterr()
    assert "class0/a.png 0000: unreadable" in out
    assert "only regular files are read" in out + err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["generate", "doctor", "import"])
def test_a_manifest_that_is_a_fifo_is_one_line(data, made, tmp_path, capsys, command):
    os.mkfifo(tmp_path / "list.csv")
    commands = {
        "generate": ["generate", str(tmp_path / "list.csv"), "-o", str(tmp_path / "new.dm")],
        "doctor": ["doctor", str(tmp_path / "list.csv"), str(made)],
        "import": ["import", str(data), "-o", str(tmp_path / "new.dm"), "--sources", str(tmp_path / "list.csv")],
    }
    capsys.readouterr()
    assert main(commands[command]) == 2
    assert "is a FIFO; only regular files are read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "size", [(50_000, 50_000), (40_000, 30_000), (1 << 31, 1), (0, 0), ((1 << 32) - 1, (1 << 32) - 1)]
)
def test_an_image_bomb_is_one_reason_in_every_command(data, made, tmp_path, capsys, size):
    (data / "class0/bomb.png").write_bytes(png_bomb(*size))
    capsys.readouterr()
    assert main(["generate", str(data), "-o", str(made)]) == 1
    assert main(["doctor", str(data), str(made)]) == 1
    assert main(["preview", str(data), "-o", str(tmp_path / "sheet.png")]) == 1
    (tmp_path / "made/class0/000.png").mkdir(parents=True)
    (tmp_path / "made/class0/000.png/p.png").write_bytes(png_bomb(50_000, 50_000))
    assert main(["import", str(tmp_path / "made"), "-o", str(tmp_path / "new.dm"), "--sources", str(data)]) == 1
    out, err = capsys.readouterr()
    assert "too large: 50000 x 50000 pixels, at most 268,435,456; make it smaller" in out
    assert "Traceback" not in err


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_sizes_are_read_from_headers(tmp_path, rng, ending):
    write_image(tmp_path / f"a{ending}", rng.integers(0, 256, (37, 53, 3), dtype=np.uint8))
    assert declared_size((tmp_path / f"a{ending}").read_bytes()) == (53, 37)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_header_that_is_cut_anywhere_gives_no_size_or_the_right_one(rng, ending):
    data = cv2.imencode(ending, rng.integers(0, 256, (37, 53, 3), dtype=np.uint8))[1].tobytes()
    assert {declared_size(data[:length]) for length in range(min(200, len(data)))} <= {
        (0, 0),
        (53, 37),
        (53, 0),
        (0, 37),
    }


MAGICS = [
    *(b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"RIFF\0\0\0\0WEBPVP8XEXIF", b"\xff\xd8", b"II*\0", b"MM\0*", b""),
    *(b"II*\0\x08\0\0\0\x09\0", b"GIF89a", b"GIF89a\x21\xf9\x04", b"P5 ", b"P6\n#\n9 9", b"\0\0\0\x20ftypavif"),
    *(b"\0\0\0\x20ftypavif ispe", b"\0\0\0\x0cjP  ", b"\0\0\0\x0cjP  \xff\x4f\xff\x51"),
]


@pytest.mark.parametrize("magic", MAGICS)
def test_a_header_of_noise_raises_nothing(rng, magic):
    for length in range(200):
        data = magic + rng.bytes(length)
        width, height = declared_size(data)
        assert width >= 0
        assert height >= 0
        assert {type(has_sixteen_bits(data)), type(may_be_transparent(data))} == {bool}
        assert orientation(data) >= 0


def test_an_image_that_does_not_fit_in_memory_is_too_large(data, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(cv2, "imdecode", no_memory)
    with pytest.raises(ValueError, match="is too large: it does not fit in memory; make it smaller"):
        read_image(data / "class0/000.png")
    assert MOST_PIXELS < 1 << 30


NUL_IN_TABLE = "is not allowed in paths" if sys.version_info >= (3, 11) else "is not valid CSV: line contains NUL"

MANIFESTS = {
    "deep JSON": ("list.jsonl", DEEP.encode(), "is not valid JSON: it is nested too deeply"),
    "an infinite number": ("list.jsonl", b'{"path": 1e400, "key": "a"}', "is not valid JSON: the number 1e400"),
    "a NUL in a path": ("list.jsonl", b'{"path": "a\\u0000.png", "key": "a"}', "is not allowed in paths"),
    "a lone surrogate": ("list.jsonl", b'{"path": "a\\ud800.png", "key": "a"}', "is not allowed in paths"),
    "bytes that are not text": ("list.jsonl", b"\xff\xfe\x00", "is not UTF-8"),
    "an open quote": ("list.csv", b'path,key\n"a.png,a\n', "is not valid CSV"),
    "a huge field": ("list.csv", b"path,key\n" + b"x" * 200_000 + b",a\n", "is not valid CSV: field larger"),
    "a NUL in a table": ("list.csv", b"path,key\na\x00.png,a\n", NUL_IN_TABLE),
}


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("command", ["generate", "doctor"])
def test_a_manifest_that_cannot_be_used_is_one_line(made, tmp_path, capsys, name, command):
    file, text, complaint = MANIFESTS[name]
    (tmp_path / file).write_bytes(text)
    capsys.readouterr()
    assert main([command, str(tmp_path / file), *([str(made)] if command == "doctor" else ["-o", str(made)])]) == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (DEEP, "nested too deeply"),
        ('{"file": "class0/000.png/p.png", "prompt": "p", "seed": 1e400}', "1e400"),
        ('{"file": "class0/000.png/p.png", "prompt": "p", "seed": -5}', "seed -5: give an int"),
        ('{"file": "class0/000.png/p.png", "prompt": "p", "seed": "5"}', "seed '5': give an int"),
        ('{"file": "class0/000.png/p.png", "prompt": "p", "seed": true}', "seed True: give an int"),
        ('{"file": "class0/000.png/p.png", "prompt": "\\ud800", "seed": 5}', "surrogates not allowed"),
        ('{"file": "class0/000.png/p.png", "prompt": 7, "seed": 5}', "encode"),
        ("[]", "list indices"),
        ("null", "subscriptable"),
    ],
)
def test_a_table_of_an_import_that_cannot_be_used_is_one_line(data, tmp_path, capsys, line, complaint):
    write_image(tmp_path / "made/class0/000.png/p.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "made/counterparts.jsonl").write_text(line + "\n")
    assert main(["import", str(tmp_path / "made"), "-o", str(tmp_path / "new.dm"), "--sources", str(data)]) == 2
    err = capsys.readouterr().err
    assert "counterparts.jsonl' line 1 is not one that an export writes" in err
    assert complaint in err
    assert err.count("\n") == 1


def test_a_prompt_with_a_line_separator_survives_export_and_import(data, tmp_path):
    prompt = "snowy\u2028evening"
    image = read_image(data / "class0/000.png")
    write_image(tmp_path / "made/class0/000.png/p.png", 255 - image)
    record = {"file": "class0/000.png/p.png", "prompt": prompt, "seed": 5}
    (tmp_path / "made/counterparts.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    assert main(["import", str(tmp_path / "made"), "-o", str(tmp_path / "new.dm"), "--sources", str(data)]) == 0
    assert [record.prompt for record in Store.open(tmp_path / "new.dm").records()] == [prompt]


def test_an_import_follows_no_link_out_of_its_folder(data, tmp_path, capsys):
    secret, made = tmp_path / "secret", tmp_path / "made"
    for name in ("class0/000.png", "class1/001.png"):
        write_image(secret / name / "p.png", 255 - read_image(data / name))
    write_image(made / "real.png", read_image(data / "class0/000.png"))
    (made / "class0").mkdir(parents=True)
    (made / "class0/000.png").symlink_to(secret / "class0/000.png")
    (made / "class1/001.png").mkdir(parents=True)
    (made / "class1/001.png/p.png").symlink_to(secret / "class1/001.png/p.png")
    (made / "class2/002.png").mkdir(parents=True)
    (made / "class2/002.png/p.png").symlink_to("../../real.png")
    (made / "class2/round").symlink_to("..")
    assert main(["import", str(made), "-o", str(tmp_path / "new.dm"), "--sources", str(data)]) == 1
    out = capsys.readouterr().out
    assert out.count("it is a link that leads out of") == 2
    assert [record.key for record in Store.open(tmp_path / "new.dm").records()] == ["class2/002.png"]


PIPELINES = {
    "deep YAML": ("p.yaml", DEEP, "nested over 100 deep"),
    "aliases that grow": (
        "p.yaml",
        "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmno")),
        "over 100,000 values",
    ),
    "a value that holds itself": ("p.yaml", "a: &a [*a]\n", "over 100,000 values"),
    "deep JSON": ("p.json", DEEP, "nested too deeply"),
    "a list": ("p.yaml", "[1, 2]\n", "is not a pipeline"),
    "nothing": ("p.yaml", "", "is not a pipeline"),
    "bytes": ("p.yaml", "\udcff\udcfe", "is not UTF-8"),
    "a tag that runs": ("p.yaml", "!!python/object/apply:os.system ['touch pwned']\n", "is not a pipeline"),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_file_that_cannot_be_used_is_one_line(data, tmp_path, capsys, monkeypatch, name):
    file, text, complaint = PIPELINES[name]
    (tmp_path / file).write_bytes(text.encode("utf-8", "surrogateescape"))
    monkeypatch.chdir(tmp_path)
    assert main(["preview", str(data), "-o", str(tmp_path / "s.png"), "--pipeline", str(tmp_path / file)]) == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert err.count("\n") == 1
    assert not (tmp_path / "pwned").exists()


def test_a_sound_pipeline_file_is_still_loaded(tmp_path):
    assert main(["demo", "-o", str(tmp_path)]) == 0
    assert load_pipeline(tmp_path / "pipeline.yaml") is not None


def test_odd_file_names_are_drawn_and_printed_as_text(tmp_path):
    commands = []
    for number, name in enumerate(map(os.fsdecode, ODD_NAMES)):
        data = make_data(tmp_path / f"data{number}", 3)
        (data / "class0/000.png").rename(data / "class0" / name)
        commands.append(["preview", str(data), "-o", str(tmp_path / f"sheet{number}.png")])
        commands.append(["generate", str(data), "-o", str(tmp_path / f"{number}.dm"), "--size", "32"])
    statuses, out, err = run_each(tmp_path, commands)
    assert statuses == [0, 1, 0, 1, 0, 1, 0, 0]  # the last one does not end as an image does
    assert len(list(tmp_path.glob("sheet*.png"))) == len(ODD_NAMES)
    assert out.count("1 file whose name cannot be a key: rename them. key 'class0/") == 3
    assert "Traceback" not in err
    assert ESCAPE[:1] not in out + err.replace("\x1b[A", "")


@pytest.mark.parametrize("text", ["caf\udce9", "\x1b[2J\n\t", "\u732b\U0001f408", "", "x" * 10_000])
def test_any_text_can_be_drawn(text):
    paper = np.full((30, 200, 3), 255, np.uint8)
    draw_text(paper, text, (5, 20), 0.4, (0, 0, 0))
    assert (paper.min() < 255) == bool(text)


ASCII = {"PYTHONIOENCODING": "ascii"}


def test_on_a_terminal_of_ascii_nothing_ends_in_an_error(tmp_path):
    data = make_data(tmp_path / "d\u00e4ta \u732b", 2)
    made = run(tmp_path, "generate", data, "-o", tmp_path / "st\u00f6re.dm", **ASCII)
    assert made.returncode == 0, made.stderr
    assert rb"st\xf6re.dm" in made.stdout
    (data / "class0/000.png").write_bytes(b"broken")
    (data / "class0/\u732b.png").write_bytes(b"broken")
    failed = run(tmp_path, "generate", data, "-o", tmp_path / "st\u00f6re.dm", **ASCII)
    assert (failed.returncode, b"codec" in failed.stderr) == (1, False)
    wrong = run(tmp_path, "status", tmp_path / "n\u00f6.dm", **ASCII)
    assert (wrong.returncode, b"codec" in wrong.stderr) == (2, False)
    assert rb"n\xf6.dm" in wrong.stderr


def test_arguments_that_are_refused_are_printed_as_text(tmp_path):
    commands = [
        command
        for argument in (ESCAPE, "a\nb", "\udce9", "\u202e")
        for command in (["status", f"/{argument}"], [argument], ["generate", ".", "-o", "x", "--shard", argument])
    ]
    statuses, _, err = run_each(tmp_path, commands)
    assert statuses == [2] * len(commands)
    lines = err.split("\n")
    assert sum(": error: " in line for line in lines) == len(commands)
    assert all(line.isprintable() for line in lines)
    assert "Traceback" not in err


@pytest.mark.parametrize("reason", [ESCAPE, "a\nb", "\u202e"])
def test_reasons_and_prompts_in_a_store_are_printed_as_text(data, made, capsys, reason):
    with Store.open(made).writer() as writer:
        writer.fail("class0/odd.png", "0000", f"bad{reason}", prompt=reason)
    write_image(data / "class0/odd.png", read_image(data / "class0/000.png") // 2)
    capsys.readouterr()
    main(["doctor", str(data), str(made)])
    main(["status", str(made)])
    out, err = capsys.readouterr()
    assert "no counterpart could be made: bad" in out
    assert all(line.isprintable() for line in (out + err).split("\n"))


def test_a_damaged_counterpart_or_source_leaves_its_cell_white(data, made, tmp_path):
    from albu_diffusemix.datasets import SourceFile  # noqa: PLC0415
    from albu_diffusemix.generate.sheet import contact_sheet  # noqa: PLC0415

    store = Store.open(made)
    record = next(iter(store.records()))
    [part] = made.glob("parts/*.tar")
    with part.open("r+b") as file:
        file.seek(record.location.offset + 200)
        file.write(b"\0\1\2")
    sources = [SourceFile(str(tmp_path / "gone"), record.key), SourceFile(str(data), record.key)]
    assert contact_sheet(store, sources).startswith(b"\xff\xd8\xff")


def test_a_store_may_have_a_name_that_is_not_text(data, tmp_path):
    store = tmp_path / os.fsdecode(b"caf\xe9.dm")
    made = run(tmp_path, "generate", data, "-o", store)
    assert made.returncode == 0, made.stderr
    assert rb"caf\udce9.dm" in made.stdout
    assert rb"caf\udce9.dm" in (store / "README.md").read_bytes()


def test_a_file_of_prompts_that_is_a_fifo_is_one_line(data, tmp_path, capsys):
    os.mkfifo(tmp_path / "prompts.txt")
    new = Path(tmp_path / "new.dm")
    assert main(["generate", str(data), "-o", str(new), "--prompts-file", str(tmp_path / "prompts.txt")]) == 2
    assert "is a FIFO; only regular files are read" in capsys.readouterr().err
    assert not new.exists()
