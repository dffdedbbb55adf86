"""Settings: one closed table, checked names, values and effects."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from unspool import config
from unspool.cli.options import SettingFlags, given_settings
from unspool.config import MODELS, Settings, parse, read_toml, resolve, uses
from unspool.errors import SettingError
from unspool.models.recipes import recipe

DEFAULTS = Settings()


def refused(values: dict[str, Any]) -> str:
    with pytest.raises(SettingError) as error:
        resolve(recipe("lstm"), values)
    message = str(error.value)
    assert len(message) <= 1000
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    ("wrong", "meant"), [("hiden", "hidden"), ("learning_rat", "learning_rate"), ("drop_out", "dropout")]
)
def test_an_unknown_setting_is_met_with_the_nearest(wrong: str, meant: str) -> None:
    assert f"there is no setting '{wrong}' (did you mean '{meant}'?)" in refused({wrong: 1})
    with pytest.raises(SettingError, match=f"did you mean '{meant}'"):
        parse({wrong: 1})


def test_an_unknown_model_is_met_with_the_nearest_and_the_known() -> None:
    message = refused({"model": "ltsm"})
    assert "there is no model 'ltsm' (did you mean 'lstm'?)" in message
    assert "cnn-<cell>" in message


OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("hidden", 0), ("hidden", 10**9), ("hidden", "many"), ("hidden", 1.5), ("hidden", None), ("hidden", 10**300),
    ("layers", 33), ("embedding", -1), ("dropout", 1.0), ("dropout", -0.1), ("dropout", float("nan")),
    ("learning_rate", 0), ("learning_rate", float("inf")), ("batch_size", 0), ("epochs", 0), ("seed", -1),
    ("seed", 2**32), ("validation", 0), ("validation", 1), ("minutes", 0), ("minutes", float("inf")),
    ("min_count", 0), ("clip", 0), ("patience", 10**300), ("pooling", "sum"), ("level", "words"),
    ("optimizer", {"_target_": "os.system"}), ("keep", ["both"]), ("bidirectional", "perhaps"), ("model", 7),
    ("model", "x" * 2**20), ("pooling", "\x1b[31m" * 1000),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE, ids=lambda value: str(value)[:20])
def test_a_value_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    started = time.process_time()
    message = refused({name: value})
    assert config.flag(name) in message or name == "model"
    assert time.process_time() - started < 1


@pytest.mark.parametrize("given", ["2,3", [2, 3], (2, 3), ("2", "3")])
def test_region_sizes_come_as_text_or_list(given: Any) -> None:
    assert resolve(recipe("cnn"), {"model": "cnn", "region_sizes": given}).region_sizes == (2, 3)


@pytest.mark.parametrize("wrong", ["", "3,,4", "a", [], [0], [65], "3," * 2**20, [3] * 10**6, 3])
def test_wrong_region_sizes_are_refused_quickly(wrong: Any) -> None:
    started = time.process_time()
    assert "--region-sizes" in refused({"model": "cnn", "region_sizes": wrong})
    assert time.process_time() - started < 1


def test_given_goes_on_top_of_the_recipe_on_top_of_the_defaults() -> None:
    settings = resolve(recipe("stacked-cnn"), {"model": "stacked-cnn", "filters": 7})
    assert (settings.filters, settings.layers, settings.embedding) == (7, recipe("stacked-cnn")["layers"], 100)


@pytest.mark.parametrize("model", MODELS)
def test_a_setting_without_effect_is_refused_for_every_model(model: str) -> None:
    for name in Settings.model_fields:
        value = getattr(DEFAULTS, name)
        given = {
            "model": model,
            name: {"output": "crf", "scheme": "bio", "decoder": "gru", "target_level": "char"}.get(name, 1)
            if value is None
            else value,
        }
        if name in ("model", "level", "minutes"):
            assert name == "minutes" or uses(model, name)
        elif uses(model, name):
            assert getattr(resolve(recipe(model), given), name) == given[name]
        else:
            where = f"the model '{model}'" if name in config.settings_of("classify") else "the task 'classify'"
            with pytest.raises(SettingError, match=f"{config.flag(name)} has no effect on {where}"):
                resolve(recipe(model), given)


@pytest.mark.parametrize(
    ("model", "decoder", "setting", "effect"),
    [
        ("dilated-cnn", "lstm", "reset_after", False),
        ("dilated-cnn", None, "reset_after", True),
        ("lstm", "gru", "reset_after", True),
        ("gru", "lstm", "reset_after", True),
        ("gru", "qrnn", "kernel_size", True),
        ("gru", None, "kernel_size", False),
        ("mingru", "lstm", "recurrent_dropout", True),
        ("mingru", None, "recurrent_dropout", False),
    ],
)
def test_a_setting_of_the_decoder_alone_counts(model: str, decoder: str | None, setting: str, effect: bool) -> None:
    given = {"task": "translate", "model": model, "decoder": decoder, setting: getattr(DEFAULTS, setting)}
    if effect:
        assert getattr(resolve({}, given), setting) == given[setting]
    else:
        with pytest.raises(SettingError, match=f"{config.flag(setting)} has no effect on the model '{model}'"):
            resolve({}, given)


def test_uses_says_what_the_field_says() -> None:
    assert {name for name in Settings.model_fields if uses("bow", name)} == {
        "task", "model", "level", "lowercase", "min_count", "validation", "seed",
    }  # fmt: skip
    assert [model for model in MODELS if uses(model, "reset_after")] == ["gru", "cnn-gru"]
    assert [model for model in MODELS if uses(model, "region_sizes")] == ["cnn"]
    assert not uses("mingru", "recurrent_dropout")
    assert not uses("cnn-qrnn", "recurrent_dropout")
    assert uses("mingru", "zoneout")


@pytest.mark.parametrize("model", MODELS)
def test_every_recipe_uses_only_settings_with_an_effect(model: str) -> None:
    assert all(uses(model, name) for name in recipe(model))
    assert resolve(recipe(model), {}).model == model


def test_settings_survive_json() -> None:
    settings = resolve(recipe("cnn"), {"model": "cnn", "region_sizes": "2,5", "learning_rate": 1 / 3})
    assert parse(settings.model_dump(mode="json")) == settings


def test_toml_takes_both_spellings_and_flags_go_on_top(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('model = "cnn"\nlearning-rate = 0.01\nregion_sizes = [2, 3]\nseed = 4\n')
    assert read_toml(path) == {"model": "cnn", "learning_rate": 0.01, "region_sizes": [2, 3], "seed": 4}
    assert given_settings(SettingFlags(seed=9), read_toml(path))["seed"] == 9
    assert given_settings(SettingFlags(seed=9), {}) == {"seed": 9}
    assert resolve(recipe("cnn"), read_toml(path)).region_sizes == (2, 3)


@pytest.mark.parametrize("content", [b"hidden = ", b"\xff", b"a = " + b"[" * 50_000, b"seed = " + b"9" * 10_000])
def test_a_toml_file_that_cannot_be_read_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    with pytest.raises(SettingError, match=r"settings file .* cannot be read"):
        read_toml(path)


def test_a_toml_file_without_end_is_refused() -> None:
    with pytest.raises(SettingError, match=r"/dev/zero cannot be read: it has more than 65,536 bytes"):
        read_toml(Path("/dev/zero"))


def test_a_missing_toml_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        read_toml(tmp_path / "none.toml")


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "cnn", "pooling": "last"}, "--pooling last does not fit the model 'cnn': use max, mean"),
        ({"model": "stacked-cnn", "pooling": "attention"}, "--pooling attention does not fit the model 'stacked-cnn'"),
        ({"model": "stacked-cnn", "layers": 1, "pool_size": 2}, "--pool-size has no effect with one layer"),
        (
            {"task": "tag", "model": "lstm", "characters": "none", "character_hidden": 9},
            "--character-hidden has no effect with --characters none",
        ),
        ({"model": "lstm", "residual": True}, "--residual has no effect with one layer"),
        ({"model": "dilated-cnn", "kernel_size": 4}, "--kernel-size is 4: dilated-cnn .* give an odd size"),
        ({"epochs": True}, "--epochs is 'True': .*true and false have no meaning here"),
        ({"dropout": False}, "--dropout is 'False'"),
        ({"model": True}, "--model is 'True'"),
    ],
    ids=str,
)
def test_what_cannot_stand_together_is_refused_at_once(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        resolve({}, given)
