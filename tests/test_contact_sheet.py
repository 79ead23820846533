import numpy as np
import pytest

from albu_diffusemix.contact_sheet import CELL, Cell, draw_sheet

GREY = np.full((30, 60, 3), 90, np.uint8)
GAP = 12


def places(sheet, row_height=CELL):
    """The columns of a sheet's first row, from the left, each with the gap after it."""
    band = sheet[34 : 34 + row_height + 26, GAP:]
    return np.split(band, band.shape[1] // (CELL + GAP), axis=1)


@pytest.mark.parametrize("caption", ["W" * 23, "W" * 4000, "class/" + "i" * 200 + ".png", "caf\udce9\n" * 20])
def test_a_caption_ends_where_its_cell_ends(caption):
    sheet = draw_sheet([[Cell(GREY, caption), Cell(GREY, "")]], ["one", "two"])
    first, second = places(sheet, CELL // 2)
    assert first[CELL // 2 :].min() < 255
    assert first[:, CELL:].min() == 255
    assert second[CELL // 2 :].min() == 255


def test_rows_may_have_different_lengths_and_cells_without_a_picture():
    rows = [[Cell(None, "gone"), Cell(GREY, "two"), Cell(None, "")], [Cell(GREY, "four")], [Cell(None, "")]]
    sheet = draw_sheet(rows, ["one"])
    assert sheet.shape[1] == GAP + 3 * (CELL + GAP)
    first, second, third = (place[: CELL // 2].min() for place in places(sheet))
    assert (first, second, third) == (255, 90, 255)


def test_a_picture_of_any_shape_fits_its_cell():
    for shape in ((1, 5000, 3), (5000, 1, 3), (1, 1, 3)):
        assert draw_sheet([[Cell(np.zeros(shape, np.uint8), "")]], ["one"]).shape[1] == GAP + CELL + GAP
