"""The backend images_api against a server on loopback, whole and faulty."""

import asyncio
import contextlib
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import httpx2
import numpy as np
import pytest
from images_server import Call, Reply, noisy, serving
from job_files import make_data
from tiny_editors import EVERYDAY

from albu_diffusemix.backends import BackendUnavailableError, Request, create_backend
from albu_diffusemix.backends.images_api import client
from albu_diffusemix.backends.pixels import resize
from albu_diffusemix.cli import main
from albu_diffusemix.store import Store

SIZE = 32
PROBES = 4


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.001)


def api(server, **options):
    spec = {"name": "images_api", "base_url": server if isinstance(server, str) else server.url, "model": "tiny"}
    return create_backend({**spec, "size": SIZE, **options})


def requests(count=3, prompt="snowy"):
    rng = np.random.default_rng(7)
    return [Request(rng.integers(0, 256, (40, 24, 3), np.uint8), prompt, seed) for seed in range(count)]


def only_later(reply: Reply, times: int = 1):
    """Answer so to the first calls after the probes."""
    return lambda number, _call: reply if PROBES < number <= PROBES + times else None


def test_each_request_gets_its_own_image_in_order_and_at_its_size():
    with serving() as server:
        made = api(server).generate(requests(9))
    assert [counterpart.status for counterpart in made] == ["ok"] * 9
    for request, counterpart in zip(requests(9), made, strict=True):
        sent = resize(request.image, SIZE, SIZE)
        drawn = noisy(Call({"seed": str(request.seed), "prompt": "snowy"}, sent, {}))
        assert counterpart.image.shape == (40, 24, 3)
        assert np.abs(counterpart.image - resize(drawn / 255.0, 24, 40).clip(0, 1) * 255).max() <= 1


def test_the_form_says_what_was_set_and_no_more():
    options = {"num_inference_steps": 4, "guidance_scale": 1.5, "extra": {"true_cfg_scale": 4, "tiled": True}}
    with serving() as server:
        api(server, template="Make it {prompt}", **options).generate(requests(1))
    assert server.calls[-1].fields == {
        "model": "tiny",
        "prompt": "Make it snowy",
        "n": "1",
        "size": "32x32",
        "response_format": "b64_json",
        "output_format": "png",
        "seed": "0",
        "num_inference_steps": "4",
        "guidance_scale": "1.5",
        "true_cfg_scale": "4",
        "tiled": "true",
    }
    assert "Authorization" not in server.calls[-1].headers


def test_no_more_calls_run_at_once_than_allowed():
    running, most = itertools.count(), []
    now = set()

    def slow(call):
        mark = next(running)
        now.add(mark)
        most.append(len(now))
        time.sleep(0.02)
        now.remove(mark)
        return noisy(call)

    with serving(slow) as server:
        api(server, concurrency=2).generate(requests(8))
    assert max(most) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=429, body=b"{}", headers={"Retry-After": "0"}),
        Reply(status=500, body=b"oops"),
        Reply(status=503, body=b"loading"),
        Reply(np.zeros((SIZE, SIZE, 3), np.uint8), cut=True),
        Reply(body=b"{"),
        Reply(body=b'{"data": [{"b64_json": "AAAA"}]}'),
        Reply(body=b"not packed", headers={"Content-Encoding": "gzip"}),
    ],
    ids=["too many requests", "error", "not ready", "body cut off", "broken JSON", "broken image", "broken packing"],
)
def test_a_call_that_fails_for_a_passing_reason_is_made_again(reply):
    with serving() as server:
        wanted = [counterpart.image for counterpart in api(server).generate(requests())]
    with serving(fault=only_later(reply, 2)) as server:
        made = [counterpart.image for counterpart in api(server).generate(requests())]
    np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("100000", 600.0), ("soon", None), ("nan", None)])
def test_the_pause_is_as_long_as_the_server_asks_within_reason(asked, seconds):
    assert client._retry_after(httpx2.Response(429, headers={"Retry-After": asked})) == seconds


def test_pauses_grow_to_a_minute(monkeypatch):
    monkeypatch.setattr(client, "_FIRST_PAUSE", 2.0)
    trouble = client._TroubleError("away")
    assert [trouble.pause_before(attempt) for attempt in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=422, body=b'{"detail": "prompt is too long"}'), "the server answered 422: prompt is too long"),
        (Reply(status=400, body=b'{"error": {"message": "no"}}'), "the server answered 400: no"),
        (Reply(status=400, body=b"no " * 2000), "the server answered 400: " + ("no " * 54)[:160]),
        (Reply(status=500, body=b"oops"), "the server: answered 500: oops, 2 times"),
        (
            Reply(body=b'{"data": [{"url": "http://x/1.png"}]}'),
            "the server's answer has no b64_json: {'data': [{'url': 'http://x/1.png'}]}",
        ),
        (Reply(body=b"{}"), "the server's answer has no b64_json: {}"),
        (
            Reply(np.zeros((SIZE, 2 * SIZE, 3), np.uint8)),
            "the server gave 64x32 pixels where 32x32 were asked for: give a size that it can draw",
        ),
    ],
    ids=["refused", "wrong", "long", "error", "a link", "nothing", "other size"],
)
def test_an_image_that_the_server_refuses_fails_alone_with_the_reason(reply, reason):
    def fault(_number, call):
        return reply if call.fields["seed"] == "1" and call.fields["prompt"] == "sunset" else None

    with serving(fault=fault) as server:
        made = api(server, retries=1).generate(requests(prompt="sunset"))
        assert len(server.calls) == PROBES + 3 + (reply.status == 500)  # only what may pass is asked for again
    assert [counterpart.status for counterpart in made] == ["ok", "failed", "ok"]
    assert made[1].reason == reason


@pytest.mark.parametrize(
    ("status", "text"), [(401, "refuses the key"), (403, "refuses the key"), (404, "has no such address or model")]
)
def test_what_concerns_all_images_ends_it_at_once(status, text):
    with serving(fault=lambda *_: Reply(status=status, body=b'{"detail": "no"}')) as server:
        with pytest.raises(BackendUnavailableError, match=f"{text}, answered {status}: no"):
            api(server).generate(requests())
        assert len(server.calls) <= PROBES


def test_a_slow_answer_is_given_up():
    def slow(call):
        time.sleep(0.5 if call.fields["prompt"] == "sunset" else 0)
        return noisy(call)

    with serving(slow) as server:
        [made] = api(server, timeout=0.2, retries=0).generate(requests(1, "sunset"))
    assert made.reason == "the server: no whole answer in 0.2 s, once"


def test_an_answer_that_comes_drop_by_drop_is_given_up():
    def trickle(number, _call):
        return Reply(np.zeros((SIZE, SIZE, 3), np.uint8), drops=0.05) if number > PROBES else None

    with serving(fault=trickle) as server:
        [made] = api(server, timeout=0.3, retries=0).generate(requests(1))
    assert made.reason == "the server: no whole answer in 0.3 s, once"


def test_a_server_that_is_not_there_is_one_line():
    with serving() as server:
        url = server.url
    with pytest.raises(BackendUnavailableError, match=rf"the server at {url} cannot be reached: .*, 3 times; run"):
        api(url, retries=2).generate(requests())


def test_a_server_that_is_gone_half_way_ends_it_in_one_line():
    def gone(number, _call):
        if number > PROBES + 1:
            server.server_close()
            return Reply(status=503, body=b"going", headers={"Connection": "close"})
        return None

    with serving(fault=gone) as server:
        with pytest.raises(
            BackendUnavailableError, match=r"cannot be reached: .*, 2 times; run the same com"
        ) as caught:
            api(server, retries=1, concurrency=1).generate(requests())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["/", "/studio/", "/studio/v1", "/studio/v1/images/edits"])
def test_an_address_may_have_a_path_and_end_as_the_interface_does(address):
    with serving() as server:
        backend = api(server.url + address)
        with contextlib.suppress(BackendUnavailableError):
            backend.generate(requests(1))
    assert set(server.paths) == {"/studio/v1/images/edits" if "studio" in address else "/v1/images/edits"}


@pytest.mark.parametrize(("shape", "sides"), [("square", (32, 32)), ("aspect", (48, 32))])
def test_with_shape_aspect_the_server_is_asked_for_the_images_own_ratio(shape, sides):
    with serving() as server:
        backend = api(server, shape=shape)
        [made] = backend.generate(requests(1))
    assert (made.status, made.image.shape) == ("ok", (40, 24, 3))
    assert server.calls[-1].image.shape[:2] == sides
    assert server.calls[-1].fields["size"] == f"{sides[1]}x{sides[0]}"
    assert (backend.fingerprint == api(server).fingerprint) == (shape == "square")


def without_seed(call):
    return noisy(Call({**call.fields, "seed": "1"}, call.image, {}))


_draws = itertools.count(1)


def at_random(call):
    return noisy(Call({**call.fields, "seed": str(next(_draws))}, call.image, {}))


@pytest.mark.parametrize(("edit", "seen"), [(without_seed, "the same image"), (at_random, "other images each time")])
def test_a_server_that_ignores_the_seed_is_refused(edit, seen):
    with serving(edit) as server, pytest.raises(BackendUnavailableError, match=f"ignores the seed: it draws {seen}"):
        api(server).generate(requests())


def test_a_server_without_seeds_is_used_where_that_was_said():
    with serving(at_random) as server:
        assert [made.status for made in api(server, seedless=True).generate(requests())] == ["ok"] * 3


def test_a_server_that_rounds_by_its_batch_is_used():
    turns = itertools.count()

    def rounding(call):
        return (noisy(call).astype(int) + next(turns) % 2).clip(0, 255).astype(np.uint8)

    with serving(rounding) as server:
        assert api(server).generate(requests(1))[0].status == "ok"


def test_a_server_that_ignores_the_image_is_refused():
    def from_text(call):
        return noisy(Call(call.fields, np.full_like(call.image, 90), {}))

    with serving(from_text) as server, pytest.raises(BackendUnavailableError, match="ignores the image"):
        api(server).generate(requests())


def test_the_key_is_sent_and_never_kept_or_printed(monkeypatch):
    monkeypatch.setenv("STUDIO_KEY", "s3cret")
    echo = Reply(status=401, body=b'{"detail": "s3cret is not valid"}')
    with serving(fault=lambda number, _: echo if number > PROBES else None) as server:
        backend = api(server, api_key_env="STUDIO_KEY")
        backend._check_server()
        assert server.calls[0].headers["Authorization"] == "Bearer s3cret"
        with pytest.raises(BackendUnavailableError, match=r"\*\*\* is not valid; check the key in the variable STUDIO"):
            backend.generate(requests(1))
        assert "s3cret" not in repr(backend) + str(pickle.dumps(backend)) + str(backend.provenance())
        assert backend.fingerprint == api(server).fingerprint


@pytest.mark.parametrize("value", ["", " ", "s3\u00e9", "s3\ncret"])
def test_a_variable_that_holds_no_key_is_refused(monkeypatch, value):
    monkeypatch.setenv("STUDIO_KEY", value)
    with pytest.raises(ValueError, match="that is set to a key; got 'STUDIO_KEY'"):
        api("http://gpu:1", api_key_env="STUDIO_KEY")


def test_a_key_is_read_without_the_line_break_of_its_file_and_missed_in_one_line(monkeypatch):
    monkeypatch.setenv("STUDIO_KEY", "s3cret\n")
    with serving() as server:
        backend = api(server, api_key_env="STUDIO_KEY")
        backend.generate(requests(1))
        assert server.calls[-1].headers["Authorization"] == "Bearer s3cret"
        monkeypatch.delenv("STUDIO_KEY")
        with pytest.raises(BackendUnavailableError, match="the variable STUDIO_KEY of api_key_env holds no key here"):
            backend.generate(requests(1))


def test_the_fingerprint_of_a_square_is_that_of_stores_made_before():
    options = {"size": 64, "num_inference_steps": 4, "extra": {"true_cfg_scale": 4.0}}
    assert api("http://a:1", **options).fingerprint == "images_api-1-02a50c90575a5432"


def test_where_the_server_is_does_not_change_the_fingerprint_and_what_it_draws_does():
    one = api("http://a:1").fingerprint
    assert api("http://b:2/v1/", concurrency=9, timeout=1, retries=0).fingerprint == one
    assert len({one, *(api("http://a:1", **{name: 2}).fingerprint for name in ("size", "num_inference_steps"))}) == 3


def test_the_servers_version_becomes_provenance():
    with serving() as server:
        said = api(server).provenance()
    assert (said["server_version"], said["model_root"]) == ("0.23.0", "tiny/klein")
    assert api("http://127.0.0.1:9").provenance() == {"server": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"base_url": "gpu:8091"}, "base_url must be an address such as"),
        ({"base_url": "http://user:key@gpu"}, "with no key in it"),
        ({"model": " "}, "model must be the model's name on the server"),
        ({"api_key_env": "NOT_SET_HERE"}, "an environment variable that is set to a key; got 'NOT_SET_HERE'"),
        ({"shape": "round"}, "shape must be one of 'square', 'aspect'; got 'round'"),
        ({"extra": {"seed": 1}}, "not those that are always sent"),
        ({"extra": {"a": [1]}}, "extra must be a mapping"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"retries": -1}, "retries must be a whole number of at least 0"),
    ],
)
def test_an_option_that_is_not_allowed_is_refused_at_construction(options, text):
    with pytest.raises(ValueError, match=text):
        api("http://gpu:1", **options)


def test_it_works_inside_of_a_notebooks_loop():
    async def cell(backend):
        return backend.generate(requests(1))

    with serving() as server:
        [made] = asyncio.run(cell(api(server)))
    assert made.status == "ok"


def generate(tmp_path, server, *flags):
    spec = {"name": "images_api", "base_url": server.url, "model": "tiny", "size": SIZE, "retries": 1, "concurrency": 1}
    store_path = tmp_path / "out.dm"
    data = tmp_path / "photographs"
    if not data.exists():
        make_data(data, 6)
    return ["generate", str(data), "-o", str(store_path), "--backend", json.dumps(spec), *flags], store_path


def test_a_server_that_goes_away_ends_the_run_and_the_next_run_makes_the_rest(tmp_path, capsys):
    def gone(number, _call):
        return Reply(status=503, body=b"shutting down") if number > PROBES + 2 else None

    with serving(fault=gone) as server:
        command, store_path = generate(tmp_path, server, "--workers", "1")
        assert main(command) != 0
    assert "shutting down, 2 times; run the same command again" in capsys.readouterr().err
    assert not store_path.exists() or not list(Store.open(store_path).failures())
    with serving() as server:
        command, _ = generate(tmp_path, server)
        assert main(command) == 0
        Store.open(store_path).verify()
        assert len(list(Store.open(store_path).records())) == 6


def test_a_run_in_which_a_server_refuses_everything_makes_no_store(tmp_path, capsys):
    refuse = Reply(status=422, body=b'{"detail": "unknown size"}')
    with serving(fault=lambda number, _: refuse if number > PROBES else None) as server:
        command, store_path = generate(tmp_path, server)
        assert main(command) != 0
    assert "unknown size" in capsys.readouterr().err
    assert not store_path.exists()


def test_an_interrupt_cancels_the_calls_in_progress():
    code = (
        "import signal, sys, numpy as np\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which what runs in the background lacks
        "from albu_diffusemix.backends import Request, create_backend\n"
        "spec = {'name': 'images_api', 'base_url': sys.argv[1], 'model': 'tiny', 'size': 32}\n"
        "create_backend(spec).generate([Request(np.zeros((8, 8, 3), np.uint8), 'sunset', 1)])\n"
    )

    def endless(call):
        time.sleep(0 if call.fields["prompt"] != "sunset" else 60)
        return noisy(call)

    with serving(endless) as server:
        process = subprocess.Popen([sys.executable, "-c", code, server.url], stderr=subprocess.PIPE, env=os.environ)
        while len(server.calls) <= PROBES:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
        assert b"KeyboardInterrupt" in process.stderr.read()
        process.stderr.close()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_tiny_klein_behind_a_server_draws_what_it_draws_here(tmp_path):
    """FLUX.2 klein, saved and loaded as the real one; the server gets everything that decides its pixels."""
    side, model = 64, str(EVERYDAY["klein"](tmp_path))
    here = create_backend({"name": "diffusers", "model_id": model, "size": side, "template": "{prompt}"})

    def edit(call):
        [made] = here.generate([Request(call.image, call.fields["prompt"], int(call.fields["seed"]))])
        return made.image

    asked = [Request(resize(one.image, side, side), "snowy", one.seed) for one in requests(2)]
    with serving(edit) as server:
        made = api(server, size=side, concurrency=1).generate(asked)
    for there, locally in zip(made, here.generate(asked), strict=True):
        np.testing.assert_array_equal(there.image, locally.image)
