"""Credentials stay out of records in whatever form they come, and what is none stays as it was."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from deriva_ml import DerivaML
from deriva_ml.definitions import Status, Workflow
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.execution.own_start import record_environment
from deriva_ml.project import Project
from deriva_ml.redaction import redact, redact_addresses, redact_diff, redact_override

SECRET = "s3cr3t-hunter2"
RANDOM = "q7Zt9XvB2mKc4LpW8sRd"
"""A value as chance makes it: what has the shape of a credential."""
HEX = "9f86d081884c7d659a2feaa0c55ad015"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow{0}IBAAKCAQEA\nabc+/{0}=\n-----END RSA PRIVATE KEY-----".format(
    "hunter2"
)

NAMES = """pwd passphrase passwd session_id sessionId session_key auth_token authtoken client_secret clientSecret bearer
    bearer-token access_tokens refresh_token X-Amz-Signature X-Goog-Signature X-Amz-Security-Token AWSAccessKeyId
    signing_key account_key secretkey db_pwd ssh_passphrase webauthn"""


@pytest.mark.parametrize("name", NAMES.split())
def test_a_value_under_the_name_of_a_credential_goes_whatever_it_is(name: str) -> None:
    assert redact({name: SECRET, "x": [{name: 5}]}) == {name: "***", "x": [{name: "***"}]}
    assert redact_override(f"a.{name}={SECRET}") == f"a.{name}=***"
    assert redact(f"lr=1, {name}={SECRET}, b=2") == f"lr=1, {name}=***, b=2"
    assert SECRET not in redact(f"https://h.org/o?{name}={SECRET}&page=2")


@pytest.mark.parametrize(
    "name", ["session", "pat", "auth", "key", "gitlab_pat", "sshAuth", "map_key", "sig", "pw"]
)
def test_under_a_word_that_may_mean_something_else_only_what_looks_like_a_credential_goes(name: str) -> None:
    assert redact({name: RANDOM}) == {name: "***"}
    assert redact_override(f"{name}={RANDOM}") == f"{name}=***"
    assert redact(f'{name}: "{RANDOM}"') == f"{name}: ***"
    for plain in (
        "morning",
        "ses-01_run-02_bold",
        "20240501T123000Z",
        "subject01session02run003",
        "basic",
        "s3",
        3,
    ):
        assert redact({name: plain}) == {name: plain}
        assert redact_override(f"{name}={plain}") == f"{name}={plain}"


@pytest.mark.parametrize(
    "value",
    [
        {
            name: HEX
            for name in ("max_tokens", "token_count", "keyboard", "author", "path", "secretary", "key")
        },
        {
            "commit": "03d161d8f3a1b2c4d5e6f708192a3b4c5d6e7f80",
            "md5": HEX,
            "RID": "1-0A2B",
            "dataset": "2-ABCD-EF01",
        },
        {"session": "550e8400-e29b-41d4-a716-446655440000", "authors": ["A B", "C D"], "monkey": RANDOM},
        {"sort_keys": True, "primary_key": "RID", "pattern": RANDOM, "compass": RANDOM, "significance": 0.05},
        "sk-learn-pipeline, hf_hub, ghp, eyJ, task-sk-a, AKIA, risk-2024-05-01-analysis-of-data-from-2023",
        "the bearer of bad news, Basic statistics, a Bearer token, bearer authentication failed",
        "https://h.org/id/1/1-0A2B?page=2&sort=key, checksum sha256:" + 2 * HEX,
        "mail a@b.org; see https://h.org/@person; git@github.com:org/repo.git",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
        "--max-tokens 5 --keyboard us --author me --path /x",
        ["--key", "name", "--session", "morning"],
    ],
)
def test_what_is_no_credential_stays_so_that_it_can_be_run_again(value: object) -> None:
    assert redact(value) == value


TOKENS = [
    "ghp_0123456789abcdefABCDEF0123456789abcd",
    "gho_" + "a" * 36,
    "github_pat_11ABCDEFG0_" + "x" * 59,
    "glpat-ABCdef1234567890abcd",
    "hf_" + "aBcDeFgHiJ" * 3 + "1234",
    "sk-" + "aB3" * 16,
    "sk-proj-aB3dE6gH9jK2mN5pQ8sT",
    "sk-ant-api03-aB3dE6gH9jK2mN5pQ8sT",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-123456789012-abcdefABCDEF",
    "xoxp-" + "1" * 12,
    "pypi-AgEIcHlwaS5vcmcCJDU3",
    "npm_" + "a1B2" * 9,
    "AIzaSyA-1234567890abcdefghijklmnopqrstuv",
    JWT,
    KEY,
    KEY.replace("RSA", "OPENSSH"),
    KEY.rpartition("\n")[0],
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(
    "around", ["{}", "cannot use '{}' here", "x={}", '{{"value": "{}"}}', "({})\nnext", "Bearer {}"]
)
def test_a_credential_goes_by_its_form_wherever_it_stands(token: str, around: str) -> None:
    shown = redact(around.format(token))
    assert "***" in shown and token[-12:] not in shown and token[:16] not in shown
    assert redact({"note": [around.format(token)]}) == {"note": [shown]}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"Authorization: Bearer {SECRET}", "Authorization: ***"),
        (f"header 'Bearer {RANDOM}' was refused", "header 'Bearer ***' was refused"),
        (f"sent Basic {base64.b64encode(b'me:hunter2').decode()}", "sent Basic ***"),
        ("https://b.s3.org/o?X-Amz-Credential=A%2Fb&X-Amz-Signature=abc", "https://b.s3.org/o?X-Amz-Credential=***&X-Amz-Signature=***"),
        ("https://x.blob.net/c?sv=2020&sig=a%2Bb%3D&se=1", "https://x.blob.net/c?sv=2020&sig=***&se=1"),
        (f"get https://h.org/a?token={SECRET} failed", "get https://h.org/a?token=*** failed"),
        (f"run --token {SECRET} --max-tokens 5", "run --token *** --max-tokens 5"),
        (f"run --password={SECRET} x", "run --password=*** x"),
        ("password:\n  hunter2\nuser: me", "password:\n  ***\nuser: me"),
        ("a:\n  password: |\n    hunter2\n    more\n  user: me", "a:\n  password: |\n    ***\n  user: me"),
        ("passwords:\n- hunter2\n- hunter3\nuser: me", "passwords:\n***\nuser: me"),
        ("Password:\nhunter2\nWelcome", "Password:\n***\nWelcome"),
        ('"api_key":\n   "hunter2",\nx', '"api_key":\n   ***\nx'),
        ("token = \\\n    'hunter2'\nlr = 1", "token = \\\n    ***\nlr = 1"),
        ("no password:\nplease log in first", "no password:\nplease log in first"),
    ],
)  # fmt: skip
def test_credentials_go_out_of_any_text(text: str, kept: str) -> None:
    assert redact(text) == kept
    assert redact(kept) == kept


def test_the_value_after_a_flag_goes_out_of_a_command_line() -> None:
    assert redact(["x", "--password", SECRET, "--lr", "1"]) == ["x", "--password", "***", "--lr", "1"]


@pytest.mark.parametrize(
    ("diff", "kept"),
    [
        ("+password:\n+  hunter2\n+user: me", "+password:\n+***\n+user: me"),
        ("-token = \\\n+lr = 1\n-    'hunter2'\n a", "-token = \\\n+lr = 1\n-***\n a"),
        ('+token = """\n-lr = 1\n+hunter2\n+"""\n lr = 2', '+token = ***"\n-lr = 1\n+***\n+***\n lr = 2'),
        (
            "+token = {\n-lr = [\n+  'a': 'hunter2',\n+}\n lr = 2",
            "+token = ***\n-lr = [\n+***\n+***\n lr = 2",
        ),
        ("-token = r'''\n-hunter2\n@@ x @@\n a", "-token = ***'\n-***\n@@ x @@\n a"),
        ("".join(f"+{line}\n" for line in KEY.split("\n")) + "+x", "+***\n+***\n+***\n+***\n+x"),
        ("".join(f"-{line}\n" for line in KEY.split("\n")) + " x", "-***\n-***\n-***\n-***\n x"),
    ],
)
def test_a_diff_hides_values_below_their_names_and_keeps_its_lines(diff: str, kept: str) -> None:
    assert redact_diff(diff) == kept


def test_a_lock_file_keeps_all_but_the_logins_of_its_indexes() -> None:
    lock = (
        'name = "secrets"\nsource = { registry = "https://{}host/simple" }\n[package.optional-dependencies]\ntoken = [\n'
        f'    {{ name = "a" }},\n]\nsdist = {{ url = "https://host/a.tar.gz{{}}", hash = "sha256:{2 * HEX}" }}\n'
    )
    with_logins = lock.replace("{}host", f"me:{SECRET}@host").replace("gz{}", f"gz?token={SECRET}")
    assert redact_addresses(with_logins) == lock.replace("{}host", "host").replace("gz{}", "gz?token=***")


MANY = 10_000_000


@pytest.mark.parametrize(
    "part",
    ["a", "a ", "=", "token=", "token: {", "key: {", "password:\n", "a:\n", "ghp_", "sk-", "eyJ.", "-----BEGIN PRIVATE KEY-----",
     "http://", "a://b@", "?a=", "Bearer ", "--a ", '"""', "token='", "a\\", "\n", "- "],
)  # fmt: skip
def test_a_long_text_takes_no_longer_for_being_in_one_piece(part: str) -> None:
    text = part * (MANY // 100 // len(part))
    begun = time.process_time()
    redact(text)
    redact_diff(f"+{text}")
    redact_diff("\n".join(f"+{line}" for line in text.split("\n")))
    assert time.process_time() - begun < 5  # which anything quadratic takes for each of many


def test_ten_megabytes_of_one_line_are_masked() -> None:
    begun = time.process_time()
    assert redact("x" * MANY + f" password={SECRET}").endswith(" password=***")
    assert time.process_time() - begun < 10


def test_the_record_of_a_failure_holds_no_credential(tmp_path: Path) -> None:
    """Neither the reason, nor the description, nor the lock file that is recorded."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "uv.lock").write_text(f'source = {{ registry = "https://me:{SECRET}@host/simple" }}\n')
    ml = DerivaML(project=Project(tmp_path))
    configuration = ExecutionConfiguration(description=f"with token={SECRET}")
    execution = ml.create_execution(configuration, Workflow("Analysis", url="u", checksum="c"))
    record_environment(execution, "1.0")
    with pytest.raises(ValueError), execution.execute():
        raise ValueError(f"cannot log in with password={SECRET} and {TOKENS[0]}" + 2000 * " " + TOKENS[0])
    execution.update_status(
        Status.failed, f"{ml.lookup_execution(execution.execution_rid).status_detail}; sig={JWT}"
    )
    record = ml.lookup_execution(execution.execution_rid)
    assert record.status_detail.startswith("ValueError: cannot log in with password=")
    kept = [Path(ml.catalog.locate(asset)).read_text() for asset in ml.catalog.assets_of(record.rid)]
    assert any("registry" in text for text in kept)
    for text in (*kept, record.status_detail, record.description):
        assert SECRET not in text and TOKENS[0][:8] not in text and JWT[:8] not in text, json.dumps(text)
