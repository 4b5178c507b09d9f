import pytest

from diffsinger_jax.atomic_write import atomic_write


def test_the_file_appears_at_once_and_whole(tmp_path):
    path = tmp_path / "a.json"
    with atomic_write(path) as partial:
        partial.write_text("new")
        assert partial.suffix == ".json"
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("written", [True, False])
def test_after_an_error_the_old_file_stands_and_nothing_else(tmp_path, written):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as partial:
        if written:
            partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
