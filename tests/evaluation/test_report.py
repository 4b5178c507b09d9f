import json

from diffsinger_jax.evaluation.report import table, write_report

ROWS = {
    "auxiliary mel": {"mcd": 4.5, "detail_time": 0.571, "not a column": 1.0},
    "shallow k=10": {"mcd": 12.25, "detail_time": float("nan"), "vuv_error": 0.043},
}


def test_table_is_aligned_and_says_what_is_missing():
    lines = table(ROWS, "system").splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split("|")[1:-1] == [
        " system        ",
        " mel MCD dB ",
        " detail time ",
        " V/UV error % ",
    ]
    assert [cell.strip() for cell in lines[2].split("|")[2:-1]] == ["4.50", "0.57", "-"]
    assert [cell.strip() for cell in lines[3].split("|")[2:-1]] == ["12.25", "-", "4.3"]


def test_report_is_json_without_nan_and_a_page(tmp_path):
    write_report(tmp_path, {"title": "A voice", "pieces": 3}, {"Mel": ROWS})
    strict = json.loads(
        (tmp_path / "evaluation.json").read_text(), parse_constant=lambda name: 1 / 0
    )
    assert strict["tables"]["Mel"]["shallow k=10"]["detail_time"] is None
    assert strict["tables"]["Mel"]["auxiliary mel"]["mcd"] == 4.5
    page = (tmp_path / "evaluation.md").read_text()
    assert page.startswith("# A voice\n\n- pieces: 3\n\n## Mel\n\n| ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluation.json", "evaluation.md"]
