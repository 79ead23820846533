"""Files of pipelines between the hosts: what each wrote is read for ever, where the hosts themselves allow it."""

import subprocess
import sys

import albumentations as A
import numpy as np
import pytest
from pipeline_files import FORMATS, HOSTS, KINDS, THIS_HOST, make_pipeline, path_of

MIT, X = HOSTS
READ = [(THIS_HOST, kind) for kind in KINDS] + ([(MIT, "classify")] if THIS_HOST == X else [])
REFUSED = [(MIT, "detect")] if THIS_HOST == X else [(X, kind) for kind in KINDS]
"""By the hosts: each writes arguments of Compose or of the boxes that the other has not."""

SCRIPT = """
import albumentations as A
import albu_diffusemix
pipeline = A.load({path!r}, data_format="yaml")
"""


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("host", "kind"), READ)
def test_a_kept_file_loads_and_does_what_its_pipeline_did(photograph, host, kind, data_format):
    loaded = A.load(path_of(host, kind, data_format), data_format=data_format)
    written = make_pipeline(kind)
    call = {"image": photograph}
    if kind == "detect":
        call |= {"bboxes": [[10, 20, 70, 60]], "names": ["face"], "keypoints": [[30, 40]]}
    for seed in range(5):
        for pipeline in (loaded, written):
            pipeline.set_random_seed(seed)
        assert np.array_equal(loaded(**call)["image"], written(**call)["image"])


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_file_is_what_its_host_writes(tmp_path, kind, data_format):
    path = tmp_path / "pipeline"
    A.save(make_pipeline(kind), path, data_format=data_format)
    assert path.read_text() == path_of(THIS_HOST, kind, data_format).read_text()


@pytest.mark.filterwarnings("ignore:Argument")  # 2.0.8 first warns of arguments of transforms
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("host", "kind"), REFUSED)
def test_what_the_page_says_does_not_cross_is_refused_by_the_host(host, kind, data_format):
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        A.load(path_of(host, kind, data_format), data_format=data_format)


@pytest.mark.parametrize(("host", "kind"), READ)
def test_three_lines_load_a_file_in_a_fresh_process(host, kind):
    script = SCRIPT.format(path=str(path_of(host, kind, "yaml")))
    assert subprocess.run([sys.executable, "-W", "error", "-c", script], check=False).returncode == 0
