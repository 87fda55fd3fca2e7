"""What is recorded about the machine of a run repeats it, and tells nothing about its person."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml import DerivaML
from deriva_ml.definitions import Workflow
from deriva_ml.execution import ExecutionConfiguration, environment
from deriva_ml.execution.environment import snapshot
from deriva_ml.project import Project
from deriva_ml.redaction import redact, redact_diff, redact_override

SECRET = "s3cr3t"


class TestSnapshot:
    def test_names_the_interpreter_and_the_machine(self) -> None:
        found = snapshot()
        assert found["python"]["version"] == platform.python_version()
        assert found["platform"]["machine"] == platform.machine()
        assert found["cpus"] == os.cpu_count()
        assert 2**28 < found["memory"] < 2**50
        assert json.loads(json.dumps(found)) == found

    def test_lists_each_installed_package_once_with_its_version_in_order(self) -> None:
        packages = snapshot()["packages"]
        assert packages["pytest"] == version("pytest")
        assert packages["hypothesis"] == version("hypothesis")
        folded = [name.lower().replace("_", "-").replace(".", "-") for name in packages]
        assert folded == sorted(set(folded))

    def test_of_two_packages_with_one_name_the_imported_one_counts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder, number in (("second", "1.0"), ("first", "2.0")):
            info = tmp_path / folder / "some_package-0.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: Some.Package\nVersion: {number}\n\nName: no\n"
            )
            monkeypatch.syspath_prepend(str(tmp_path / folder))
        assert snapshot()["packages"]["Some.Package"] == "2.0"

    def test_package_left_half_uninstalled_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "broken-1.0.dist-info").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path))
        assert "broken" not in snapshot()["packages"]

    def test_records_the_variables_that_change_results_and_no_other(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        kept = {
            "LANG": "C.UTF-8",
            "LC_ALL": "C",
            "OMP_NUM_THREADS": "4",
            "CUDA_VISIBLE_DEVICES": "0",
            "CI": "1",
        }
        others = (
            "AWS_SECRET_ACCESS_KEY",
            "HF_TOKEN",
            "PATH",
            "USER",
            "LC_TOKEN",
            "OMP_X",
            "SLURM_X",
            "DATABASE_URL",
        )
        for name, value in {**kept, **dict.fromkeys(others, SECRET)}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to=/{SECRET} --xla_gpu_deterministic_ops=true")
        found = snapshot()
        assert found["environment"] == {**kept, "XLA_FLAGS": "--xla_gpu_deterministic_ops=true"}
        assert SECRET not in json.dumps(found)

    def test_holds_no_path_of_the_person(self) -> None:
        text = json.dumps(snapshot())
        for folder in (Path.home(), Path(sys.prefix), Path.cwd()):
            assert len(folder.parts) < 3 or str(folder) not in text

    def test_starts_no_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("a process was started")

        monkeypatch.setattr(subprocess, "Popen", refuse)
        monkeypatch.setattr(os, "popen", refuse)
        snapshot()

    def test_names_graphics_cards_from_the_drivers_own_files(self, tmp_path: Path) -> None:
        (tmp_path / "version").write_text(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May\n"
        )
        for number in ("0000:01:00.0", "0000:02:00.0"):
            (tmp_path / "gpus" / number).mkdir(parents=True)
            (tmp_path / "gpus" / number / "information").write_text("Model: \t NVIDIA A100\nIRQ: \t 5\n")
        assert environment._gpus(tmp_path) == {"driver": "535.183.01", "models": ["NVIDIA A100"] * 2}
        assert environment._gpus(tmp_path / "nowhere") == {}


class TestRedact:
    @pytest.mark.parametrize(
        "name",
        [
            "credential",
            "credentials",
            "password",
            "passwd",
            "token",
            "secret",
            "api_key",
            "apikey",
            "access_key",
            "private_key",
            "cookie",
            "authorization",
            "Authorization",
            "API-Key",
            "apiKey",
            "hf_token",
            "db.password",
            "aws_secret_access_key",
            "clientSecret",
            "secret_key",
        ],
    )
    def test_hides_what_stands_under_the_name_of_a_credential(self, name: str) -> None:
        assert redact({name: SECRET}) == {name: "***"}
        assert redact({"runs": [{"deep": {name: {"user": SECRET}}}]}) == {"runs": [{"deep": {name: "***"}}]}
        assert redact_override(f"group.{name}={SECRET}") == f"group.{name}=***"

    @pytest.mark.parametrize(
        "name",
        ["max_tokens", "tokenizer", "secretary", "pad_token", "token_count", "eos_token_id", "keyboard"],
    )
    def test_keeps_what_only_sounds_like_one(self, name: str) -> None:
        assert redact({name: "value"}) == {name: "value"}
        assert redact_override(f"model.{name}=3") == f"model.{name}=3"

    @pytest.mark.parametrize("nothing", [None, "", True, False])
    def test_keeps_values_that_tell_nothing(self, nothing: object) -> None:
        assert redact({"credential": nothing}) == {"credential": nothing}

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            (f"https://person:{SECRET}@host.org/path", "https://host.org/path"),
            (f"https://{SECRET}@host.org/path", "https://host.org/path"),
            (
                f"postgresql://me:{SECRET}@db:5432/x and git+https://a:{SECRET}@h/r",
                "postgresql://db:5432/x and git+https://h/r",
            ),
            (f"https://me:p@{SECRET}@host.org", "https://host.org"),
            (
                f"https://host.org/o?access_token={SECRET}&page=2",
                "https://host.org/o?access_token=***&page=2",
            ),
            (f"a=1,deriva_ml.credential={SECRET},b=2", "a=1,deriva_ml.credential=***,b=2"),
            (f"password='two words {SECRET}' b", "password=*** b"),
            (
                "mail person@host.org about https://host.org/@person",
                "mail person@host.org about https://host.org/@person",
            ),
            (f"Authorization: Bearer {SECRET}\nnext", "Authorization: ***\nnext"),
            (f'"api_key = \\"two {SECRET}\\"\\n",', '"api_key = ***\\n",'),
            (f'{{\\"api_key\\": \\"{SECRET}\\"}}', '{\\"api_key\\": ***}'),
            (f'password = """two {SECRET}""", 1', "password = ***, 1"),
            (f"password = b'two {SECRET}', 1", "password = ***, 1"),
            (f"if password == 'two {SECRET}': x", "if password == ***: x"),
            ("max_tokens=5", "max_tokens=5"),
        ],
    )
    def test_hides_credentials_inside_text(self, text: str, kept: str) -> None:
        assert redact(text) == kept
        assert redact([(text,)]) == [(kept,)]

    @pytest.mark.parametrize(
        ("override", "kept"),
        [
            (f"deriva_ml.credential={SECRET}", "deriva_ml.credential=***"),
            (f"+deriva_ml.credential.cookie={SECRET}", "+deriva_ml.credential.cookie=***"),
            (
                f"++db={{host: h, login: {{password: {SECRET}}}, port: 1}}",
                "++db={host: h, login: {password: ***}, port: 1}",
            ),
            (f"db={{password: [{SECRET}, {SECRET}]}}", "db={password: ***"),
            (f"db={{'api_key': \"{SECRET}, x\", max_tokens: 3}}", "db={'api_key': ***, max_tokens: 3}"),
            (f"headers={{authorization: Bearer {SECRET}}}", "headers={authorization: ***}"),
            (f"source=https://me:{SECRET}@h/x", "source=https://h/x"),
            ("~deriva_ml.credential", "~deriva_ml.credential"),
            ("assets=comparison_weights", "assets=comparison_weights"),
            ("lr=0.1,0.2", "lr=0.1,0.2"),
        ],
    )
    def test_hides_credentials_in_overrides(self, override: str, kept: str) -> None:
        assert redact_override(override) == kept

    def test_does_not_change_what_it_was_given(self) -> None:
        given_ = {"password": SECRET, "nested": [{"token": SECRET}], "raw": b"x", "n": 1.5}
        before = json.dumps(given_, default=str)
        assert redact(given_) == {"password": "***", "nested": [{"token": "***"}], "raw": b"x", "n": 1.5}
        assert json.dumps(given_, default=str) == before

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(st.characters(codec="ascii", categories=["L", "Zs"])),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["a", "lr", "max_tokens"]), inner)
            ),
        )
    )
    def test_leaves_everything_else_as_it_is(self, value: object) -> None:
        assert redact(value) == value

    @given(st.text())
    def test_takes_any_text(self, text: str) -> None:
        assert redact(redact(text)) == redact(text)
        redact_override(text)


BEFORE, AFTER = (
    """\
diff --git a/src/configs/deriva.py b/src/configs/deriva.py
index 1..2 100644
--- a/src/configs/deriva.py
+++ b/src/configs/deriva.py
@@ -1,9 +1,9 @@ def connect(password="s3cret"):
 first = {"kept": [1, 2]}
-deriva_store(DerivaMLConfig(hostname="h", credential={"cookie": "webauthn=s3cret"}))
-second = 2
+deriva_store(
+    DerivaMLConfig(
+        hostname="h",
+        credential={
+            "www.example.org": ["s3cret"],
+            "cookie": "webauthn=s3cret",
+        },
+    ),
+)
-credentials = (
     "s3cret",
-)
+api_key = "two s3cret"
 max_tokens = 5
@@ -30,2 +30,2 @@
-token = [
+last: int = 3
\\ No newline at end of file
diff --git a/notebooks/a.ipynb b/notebooks/a.ipynb
@@ -9,2 +9,6 @@
+    "credential={\\n",
+    "    \\"thing\\": \\"s3cret\\"\\n",
+    "}\\n",
+    "kept = \\"text\\"\\n",
+    "cookie = \\"webauthn=s3cret\\"\\n",
""",
    """\
diff --git a/src/configs/deriva.py b/src/configs/deriva.py
index 1..2 100644
--- a/src/configs/deriva.py
+++ b/src/configs/deriva.py
@@ -1,9 +1,9 @@ def connect(password=***):
 first = {"kept": [1, 2]}
-deriva_store(DerivaMLConfig(hostname="h", credential=***
-second = 2
+deriva_store(
+    DerivaMLConfig(
+        hostname="h",
+        credential=***
+***
+***
+***
+    ),
+)
-credentials = ***
 ***
-***
+api_key = ***
 max_tokens = 5
@@ -30,2 +30,2 @@
-token = ***
+last: int = 3
\\ No newline at end of file
diff --git a/notebooks/a.ipynb b/notebooks/a.ipynb
@@ -9,2 +9,6 @@
+    "credential=***
+***
+***
+    "kept = \\"text\\"\\n",
+    "cookie = ***\\n",
""",
)


class TestRedactDiff:
    def test_hides_credentials_of_one_line_and_of_many_and_keeps_the_rest(self) -> None:
        assert redact_diff(BEFORE) == AFTER

    @given(st.text(st.sampled_from("+- @\n\r\x0cab=:()[]{}'\"")))
    def test_keeps_the_lines_of_any_text_without_a_credential(self, text: str) -> None:
        assert redact_diff(text) == text

    @given(st.lists(st.sampled_from([*"+- @\n=:()[]{}'\"a", "token=", "\n+api_key: "])).map("".join))
    def test_takes_any_text(self, text: str) -> None:
        assert redact_diff(text).count("\n") == text.count("\n")

    def test_is_what_becomes_of_the_diff_of_a_run(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").touch()
        ml = DerivaML(project=Project(tmp_path))
        execution = ml.create_execution(ExecutionConfiguration(), Workflow("Analysis", checksum="c"))
        execution.record_circumstances({"commit": "abc", "diff": BEFORE})
        execution.commit_output_assets()
        [diff] = [
            asset
            for asset in ml.catalog.assets_of(execution.execution_rid)
            if asset.filename == "uncommitted.diff"
        ]
        assert Path(ml.catalog.locate(diff)).read_text() == AFTER
